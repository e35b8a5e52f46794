//! Credentials as `POST /auth` and the `X-Registry-Auth` header carry them.

wire! {
    /// Credentials for one registry. The keys are lower case on the wire.
    pub struct AuthConfig {
        #[serde(rename = "username", skip_serializing_if = "crate::null::is_empty")]
        pub username: String,
        #[serde(rename = "password", skip_serializing_if = "crate::null::is_empty")]
        pub password: String,
        #[serde(rename = "auth", skip_serializing_if = "crate::null::is_empty")]
        pub auth: String,
        #[serde(rename = "email", skip_serializing_if = "crate::null::is_empty")]
        pub email: String,
        #[serde(rename = "serveraddress", skip_serializing_if = "crate::null::is_empty")]
        pub server_address: String,
        #[serde(rename = "identitytoken", skip_serializing_if = "crate::null::is_empty")]
        pub identity_token: String,
        #[serde(rename = "registrytoken", skip_serializing_if = "crate::null::is_empty")]
        pub registry_token: String,
    }

    /// Answer of `POST /auth`.
    pub struct AuthResponse {
        /// Empty where the registry gave none.
        pub identity_token: String,
        pub status: String,
    }
}
