//! A token service that `docker-registry` believes: ES256, its certificate in `x5c` (distribution, "token
//! authentication implementation").

use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use rcgen::{CertificateParams, KeyPair};
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};

use crate::fake::{Act, Fake, Head, answer, refuse};

pub(crate) const SERVICE: &str = "registry.test";
pub(crate) const ISSUER: &str = "barge's tests";
/// The one account.
pub(crate) const NAME: &str = "alice";
pub(crate) const PASSWORD: &str = "s3 cr:et";
/// What a login of that account gives.
pub(crate) const REFRESH: &str = "refresh+token/of=alice";

/// Signs tokens.
struct Signer {
    pair: EcdsaKeyPair,
    certificate: String,
    random: SystemRandom,
}

impl Signer {
    fn token(&self, scopes: &[String]) -> String {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        let access: Vec<serde_json::Value> = scopes.iter().map(|scope| grant(scope)).collect();
        let head = serde_json::json!({"typ": "JWT", "alg": "ES256", "x5c": [self.certificate]});
        let claims = serde_json::json!({
            "iss": ISSUER, "sub": NAME, "aud": SERVICE, "jti": "1", "access": access,
            "iat": now - 60, "nbf": now - 60, "exp": now + 3600,
        });
        let part = |value: serde_json::Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", part(head), part(claims));
        let signature = self.pair.sign(&self.random, signed.as_bytes()).unwrap();
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
    }
}

fn grant(scope: &str) -> serde_json::Value {
    let (kind, rest) = scope.split_once(':').unwrap();
    let (name, actions) = rest.rsplit_once(':').unwrap();
    let actions: Vec<&str> = actions.split(',').collect();
    serde_json::json!({"type": kind, "name": name, "actions": actions})
}

/// One request for a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Asked {
    pub(crate) method: String,
    pub(crate) scopes: Vec<String>,
    pub(crate) account: Option<String>,
    /// All parameters, decoded.
    pub(crate) parameters: Vec<(String, String)>,
}

/// The running service.
pub(crate) struct Tokens {
    pub(crate) fake: Fake,
    asked: Arc<Mutex<Vec<Asked>>>,
    /// The certificate that a registry is to believe.
    pub(crate) certificate: String,
}

impl Tokens {
    /// Anonymous callers may pull from `public/…`; alice may do everything.
    pub(crate) async fn start() -> Self {
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new([SERVICE.to_owned()]).unwrap();
        let certificate = certificate.self_signed(&key).unwrap();
        let random = SystemRandom::new();
        let algorithm = &ECDSA_P256_SHA256_FIXED_SIGNING;
        let pair = EcdsaKeyPair::from_pkcs8(algorithm, &key.serialize_der(), &random).unwrap();
        let signer = Signer { pair, certificate: STANDARD.encode(certificate.der()), random };
        let signer = Arc::new(signer);
        let asked: Arc<Mutex<Vec<Asked>>> = Arc::default();
        let all = Arc::clone(&asked);
        let fake = Fake::start(move |head| {
            let (head, signer, all) = (head.clone(), Arc::clone(&signer), Arc::clone(&all));
            Act::WithBody(Box::new(move |body| give(&signer, &all, (&head, &body))))
        })
        .await;
        Self { fake, asked, certificate: certificate.pem() }
    }

    pub(crate) fn realm(&self) -> String {
        format!("http://{}/token", self.fake.host())
    }

    /// The value of `auth` in a registry's configuration; writes the certificate into `folder`.
    pub(crate) fn yaml(&self, folder: &Path) -> String {
        let bundle = folder.join("tokens.pem");
        fs::write(&bundle, &self.certificate).unwrap();
        format!(
            "{{token: {{realm: \"{}\", service: \"{SERVICE}\", issuer: \"{ISSUER}\", rootcertbundle: {}}}}}",
            self.realm(),
            bundle.display()
        )
    }

    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }
}

fn give(signer: &Signer, all: &Mutex<Vec<Asked>>, (head, body): (&Head, &[u8])) -> Act {
    let text = match head.method.as_str() {
        "POST" => String::from_utf8(body.to_vec()).unwrap(),
        _ => head.target.split_once('?').map_or_else(String::new, |(_, query)| query.to_owned()),
    };
    let parameters: Vec<(String, String)> = text
        .split('&')
        .filter_map(|pair| pair.split_once('='))
        .map(|(key, value)| (key.to_owned(), decoded(value)))
        .collect();
    let all_of = |name: &'static str| {
        parameters.iter().filter(move |(key, _)| key == name).map(|(_, value)| value.clone())
    };
    let scopes: Vec<String> = all_of("scope")
        .flat_map(|scope| scope.split(' ').map(str::to_owned).collect::<Vec<_>>())
        .collect();
    let wanted = format!("Basic {}", STANDARD.encode(format!("{NAME}:{PASSWORD}")));
    let by_password = head.header("authorization").map(|value| value == wanted);
    let by_refresh = all_of("refresh_token").next().map(|token| token == REFRESH);
    let is_known = by_password.or(by_refresh);
    all.lock().unwrap().push(Asked {
        method: head.method.clone(),
        scopes: scopes.clone(),
        account: (is_known == Some(true)).then(|| NAME.to_owned()),
        parameters: parameters.clone(),
    });
    if is_known == Some(false) {
        return refuse(401, "UNAUTHORIZED", "incorrect username or password");
    }
    let granted: Vec<String> = scopes
        .into_iter()
        .filter(|scope| is_known.is_some() || scope.starts_with("repository:public/"))
        .collect();
    let mut token = serde_json::json!({"token": signer.token(&granted), "expires_in": 3600});
    if all_of("offline_token").any(|value| value == "true") {
        token["refresh_token"] = REFRESH.into();
    }
    answer(200, &[("content-type", "application/json")], token.to_string())
}

fn decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        if *first == b'%' {
            let digits = std::str::from_utf8(&rest[..2]).unwrap();
            bytes.push(u8::from_str_radix(digits, 16).unwrap());
            rest = &rest[2..];
        } else {
            bytes.push(*first);
        }
    }
    String::from_utf8(bytes).unwrap()
}
