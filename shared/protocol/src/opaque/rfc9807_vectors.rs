//! The vectors of RFC 9807, appendix C, for ristretto255, reproduced through this module's functions: what an
//! implementation draws at random it is handed here.

use rand::{CryptoRng, RngCore};
use serde::Deserialize;

use super::*;
use crate::encoding::SecretBytes as _;

#[derive(Deserialize)]
struct Document {
    vectors: Vec<Vector>,
}

#[derive(Deserialize)]
struct Vector {
    section: String,
    context: Hex,
    inputs: Inputs,
    outputs: Outputs,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Inputs {
    #[serde(default)]
    blind_registration: Hex,
    #[serde(default)]
    blind_login: Hex,
    client_identity: Option<Hex>,
    server_identity: Option<Hex>,
    client_keyshare_seed: Hex,
    #[serde(default)]
    client_nonce: Hex,
    #[serde(default)]
    client_public_key: Hex,
    credential_identifier: Hex,
    #[serde(default)]
    envelope_nonce: Hex,
    #[serde(default)]
    masking_key: Hex,
    masking_nonce: Hex,
    oprf_seed: Hex,
    #[serde(default)]
    password: Hex,
    server_keyshare_seed: Hex,
    server_nonce: Hex,
    server_private_key: Hex,
    #[serde(rename = "KE1", default)]
    ke1: Hex,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Outputs {
    #[serde(default)]
    registration_request: Hex,
    #[serde(default)]
    registration_response: Hex,
    #[serde(default)]
    registration_upload: Hex,
    #[serde(rename = "KE1", default)]
    ke1: Hex,
    #[serde(rename = "KE2")]
    ke2: Hex,
    #[serde(rename = "KE3", default)]
    ke3: Hex,
    #[serde(default)]
    export_key: Hex,
    #[serde(default)]
    session_key: Hex,
}

#[derive(Default)]
struct Hex(Vec<u8>);

impl<'de> Deserialize<'de> for Hex {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let byte = |position| u8::from_str_radix(&text[position..position + 2], 16).expect("hexadecimal");
        Ok(Self((0..text.len()).step_by(2).map(byte).collect()))
    }
}

/// Gives the bytes that it was made with, one after the other, and no more.
struct Script(Vec<u8>);

impl Script {
    fn new(parts: &[&Hex]) -> Self {
        Self(parts.iter().flat_map(|part| &part.0).copied().collect())
    }

    fn is_used_up(&self) -> bool {
        self.0.is_empty()
    }
}

impl RngCore for Script {
    fn next_u32(&mut self) -> u32 {
        unreachable!("only bytes are drawn")
    }

    fn next_u64(&mut self) -> u64 {
        unreachable!("only bytes are drawn")
    }

    fn fill_bytes(&mut self, bytes: &mut [u8]) {
        let rest = self.0.split_off(bytes.len());
        bytes.copy_from_slice(&self.0);
        self.0 = rest;
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), rand::Error> {
        self.fill_bytes(bytes);
        Ok(())
    }
}

impl CryptoRng for Script {}

impl Vector {
    fn all() -> Vec<Self> {
        serde_json::from_str::<Document>(include_str!("rfc9807_vectors.json")).unwrap().vectors
    }

    /// The server's secrets. What stands for the public key of an unknown user is part of them.
    fn setup(&self) -> ServerSetup {
        let Inputs { oprf_seed, server_private_key, client_public_key, .. } = &self.inputs;
        // Where no user is unknown, any public key will do.
        let any = ServerSetup::generate(&mut rand::rngs::OsRng).to_secret_bytes()[96..].to_vec();
        let stand_in = if client_public_key.0.is_empty() { &any } else { &client_public_key.0 };
        let bytes = [oprf_seed.0.as_slice(), &server_private_key.0, stand_in].concat();
        ServerSetup::from_secret_bytes(&bytes).unwrap()
    }

    fn parameters(&self) -> Parameters<'_> {
        Parameters {
            client_identity: self.inputs.client_identity.as_ref().map(|identity| identity.0.as_slice()),
            server_identity: self.inputs.server_identity.as_ref().map(|identity| identity.0.as_slice()),
            context: &self.context.0,
            key_stretching: KeyStretching::Identity,
        }
    }

    fn password(&self) -> Password {
        Password::new(String::from_utf8(self.inputs.password.0.clone()).unwrap())
    }
}

/// A blind is drawn as 64 bytes and reduced; one that is reduced already stays what it is.
fn wide() -> Hex {
    Hex(vec![0; 32])
}

#[test]
fn the_vectors_of_real_users_are_reproduced() {
    let vectors: Vec<_> = Vector::all().into_iter().filter(|vector| vector.section.starts_with("C.1.")).collect();
    assert_eq!(vectors.len(), 2);
    for vector in vectors {
        let Vector { inputs, outputs, .. } = &vector;
        let (setup, parameters) = (vector.setup(), vector.parameters());
        let identifier = &inputs.credential_identifier.0;

        let rng = &mut Script::new(&[&inputs.blind_registration, &wide(), &inputs.envelope_nonce]);
        let (registration, request) = ClientRegistration::start(vector.password(), rng);
        assert_eq!(request.0, outputs.registration_request.0);
        let response = setup.respond_to_registration(&request.0, identifier).unwrap();
        assert_eq!(response.0, outputs.registration_response.0);
        let registered = registration.finish(&response.0, &parameters, rng).unwrap();
        assert_eq!(registered.record.0, outputs.registration_upload.0);
        assert_eq!(registered.export_key.as_bytes().as_slice(), outputs.export_key.0);
        assert!(rng.is_used_up());

        let record = RegistrationRecord::from_upload(&registered.record.0).unwrap();
        let client_draws = [&inputs.blind_login, &wide(), &inputs.client_keyshare_seed, &inputs.client_nonce];
        let client_rng = &mut Script::new(&client_draws);
        let (client, ke1) = ClientLogin::start(vector.password(), client_rng);
        assert_eq!(ke1.0, outputs.ke1.0);
        // What an unknown user would be given is drawn in any case.
        let unused = Hex(vec![0; 64]);
        let server_draws = [&unused, &inputs.masking_nonce, &inputs.server_keyshare_seed, &inputs.server_nonce];
        let server_rng = &mut Script::new(&server_draws);
        let (server, ke2) = setup.start_login(Some(&record), identifier, &ke1.0, &parameters, server_rng).unwrap();
        assert_eq!(ke2.0, outputs.ke2.0);
        let finished = client.finish(&ke2.0, &parameters, client_rng).unwrap();
        assert_eq!(finished.ke3.0, outputs.ke3.0);
        assert_eq!(finished.session_key.as_bytes().as_slice(), outputs.session_key.0);
        assert_eq!(finished.export_key.as_bytes().as_slice(), outputs.export_key.0);
        let kept = ServerLogin::from_secret_bytes(&server.to_secret_bytes()).unwrap();
        assert_eq!(kept.finish(&finished.ke3.0, &parameters).unwrap().as_bytes().as_slice(), outputs.session_key.0);
        assert!(client_rng.is_used_up() && server_rng.is_used_up());
    }
}

#[test]
fn the_vector_of_an_unknown_user_is_reproduced() {
    let vectors: Vec<_> = Vector::all().into_iter().filter(|vector| vector.section == "C.2.1").collect();
    assert_eq!(vectors.len(), 1);
    for vector in vectors {
        let Vector { inputs, outputs, .. } = &vector;
        let draws = [&inputs.masking_key, &inputs.masking_nonce, &inputs.server_keyshare_seed, &inputs.server_nonce];
        let rng = &mut Script::new(&draws);
        let identifier = &inputs.credential_identifier.0;
        let (_, ke2) = vector.setup().start_login(None, identifier, &inputs.ke1.0, &vector.parameters(), rng).unwrap();
        assert_eq!(ke2.0, outputs.ke2.0);
        assert!(rng.is_used_up());
    }
}
