//! The body of every error answer.

wire! {
    /// `{"message": "…"}`, with the status code saying which class of error it is.
    pub struct ErrorResponse {
        #[serde(rename = "message")]
        pub message: String,
    }
}

impl ErrorResponse {
    /// The body for `message`.
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into() }
    }
}
