//! What a client does about the clients of its user, request by request.

use vestibule_protocol::credential::{AsIntermediateCredential, ClientCredential};
use vestibule_protocol::encoding::Bytes;
use vestibule_protocol::endpoint::{
    AddClient, AddClientRequest, AddClientResponse, ClientPath, DeleteUser, DeleteUserRequest, InitiateLogin,
    InitiateLoginRequest, InitiateLoginResponse, RemoveClient, RemoveClientRequest, UserPath,
};
use vestibule_protocol::login::{LoginOperation, LoginProof};
use vestibule_protocol::name::{ClientId, UserName};
use vestibule_protocol::opaque::{ClientLogin, Parameters, Password};

use crate::{Applicant, Call, TestCloud, json_body};

impl Applicant {
    /// Another client of the same user, which nobody knows yet.
    pub async fn another(&self, cloud: &TestCloud, seed: u64) -> Self {
        Self::new(cloud, self.user_name().as_str(), seed).await
    }

    /// The user.
    pub fn user_name(&self) -> &UserName {
        &self.client_id.user_name
    }

    /// The path of this client.
    pub fn client_path(&self) -> ClientPath {
        ClientPath { user_name: self.user_name().clone(), client_uuid: self.client_id.uuid }
    }

    /// The path of the user.
    pub fn user_path(&self) -> UserPath {
        UserPath { user_name: self.user_name().clone() }
    }

    /// What this client now asks to have signed instead: its credential, renewed at `signer`.
    pub fn renew(&mut self, cloud: &TestCloud, signer: &AsIntermediateCredential) {
        let (client_id, key) = (self.client_id.clone(), self.client_key.verifying_key());
        self.requested =
            vestibule_protocol::credential::ClientCredentialPayload::requesting(client_id, key, signer, cloud.now());
    }

    /// The call by which this client has the signing request of `new` signed.
    pub fn adding_call(&self, cloud: &TestCloud, new: &Applicant) -> Call {
        let request = AddClientRequest { client_credential_csr: new.csr().to_bytes() };
        self.sign(cloud, &Call::new::<AddClient>(&new.client_path(), json_body(&request)))
    }

    /// Adds `new`, which is unconfirmed then.
    pub async fn add(&self, cloud: &TestCloud, new: &Applicant) -> ClientCredential {
        let response: AddClientResponse = cloud.send(&self.adding_call(cloud, new)).await.success();
        let (_, intermediate) = cloud.credentials().await;
        let credential = ClientCredential::verify_chain(&response.client_credential.0, &intermediate, cloud.now());
        credential.expect("the credential verifies")
    }

    /// The call by which this client removes another one, or withdraws it.
    pub fn removing_call(&self, cloud: &TestCloud, client: &Applicant, login: Option<LoginProof>) -> Call {
        let body = json_body(&RemoveClientRequest { login });
        self.sign(cloud, &Call::new::<RemoveClient>(&client.client_path(), body))
    }

    /// Removes a confirmed client.
    pub async fn remove(&mut self, cloud: &TestCloud, client: &Applicant) {
        let login = self.log_in(cloud, removal_of(client)).await;
        let answer = cloud.send(&self.removing_call(cloud, client, Some(login))).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
    }

    /// The call by which this client deletes its user.
    pub fn deleting_call(&self, cloud: &TestCloud, login: LoginProof) -> Call {
        let body = json_body(&DeleteUserRequest { login });
        self.sign(cloud, &Call::new::<DeleteUser>(&self.user_path(), body))
    }

    /// Deletes the user.
    pub async fn delete_user(&mut self, cloud: &TestCloud) {
        let login = self.log_in(cloud, LoginOperation::DeleteUser {}).await;
        let answer = cloud.send(&self.deleting_call(cloud, login)).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
    }

    /// The call that begins a login, and the state that finishes it.
    pub fn login_call(&mut self, cloud: &TestCloud, operation: LoginOperation, password: &str) -> (ClientLogin, Call) {
        let (login, ke1) = ClientLogin::start(Password::new(password.to_owned()), &mut self.rng);
        let request = InitiateLoginRequest { client_id: self.client_id.clone(), operation, ke1 };
        (login, self.sign(cloud, &Call::new::<InitiateLogin>(&(), json_body(&request))))
    }

    /// Logs in with a password, or does not because it is wrong.
    pub async fn log_in_with(
        &mut self,
        cloud: &TestCloud,
        operation: LoginOperation,
        password: &str,
    ) -> Option<LoginProof> {
        let (login, call) = self.login_call(cloud, operation, password);
        let InitiateLoginResponse { ke2, sealed_login } = cloud.send(&call).await.success();
        let context = operation.opaque_context(&self.client_id);
        let parameters = Parameters::of_user(&self.client_id.user_name).with_context(&context);
        let finished = login.finish(&ke2.0, &parameters, &mut self.rng).ok()?;
        Some(LoginProof { sealed_login, ke3: finished.ke3 })
    }

    /// Logs in with the right password.
    pub async fn log_in(&mut self, cloud: &TestCloud, operation: LoginOperation) -> LoginProof {
        self.log_in_with(cloud, operation, Self::PASSWORD).await.expect("the password is right")
    }
}

/// What a login is for that removes this client.
pub fn removal_of(client: &Applicant) -> LoginOperation {
    LoginOperation::RemoveClient { client_uuid: client.client_id.uuid }
}

/// What is no proof of a login at all.
pub fn no_login() -> LoginProof {
    LoginProof { sealed_login: Bytes(Vec::new()), ke3: Bytes(Vec::new()) }
}

impl TestCloud {
    /// Confirms a client that was added, as its commit in the user's identity would.
    pub async fn confirm(&self, client: &Applicant) {
        let mut item = self.client_item(&client.client_id).await.expect("the client was added");
        item.as_object_mut().expect("an item").remove("expires_at").expect("the client is unconfirmed");
        self.cloud.put_item("AsTable", item).await.expect("the item is put");
    }

    /// The item of a client, if there is one.
    pub async fn client_item(&self, client_id: &ClientId) -> Option<serde_json::Value> {
        let items = self.cloud.items("AsTable").await.expect("the table can be read");
        items.into_iter().find(|item| {
            item["pk"]["S"] == format!("USER#{}", client_id.user_name)
                && item["sk"]["S"] == format!("CLIENT#{}", client_id.uuid)
        })
    }
}
