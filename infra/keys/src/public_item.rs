//! The items that publish what is public of the keys.

use vestibule_backend::authentication_service::public_credentials;
use vestibule_backend::dynamodb::Item;
use vestibule_backend::queuing_service::public_keys;

/// An item that the operator writes, for everybody to read through a function.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PublicItem {
    /// The credentials of the authentication service.
    Credentials,
    /// The keys of the queuing service.
    QsKeys,
    /// The keys of the issuer of tokens.
    TokenKeys,
}

impl PublicItem {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Credentials, Self::QsKeys, Self::TokenKeys];

    /// The name of the file that holds it, as DynamoDB's JSON.
    pub fn file_name(self) -> &'static str {
        match self {
            Self::Credentials => "credentials-item.json",
            Self::QsKeys => "qs-keys-item.json",
            Self::TokenKeys => "token-keys-item.json",
        }
    }

    /// The file's name without its ending.
    pub(crate) fn what(self) -> &'static str {
        self.file_name().trim_end_matches(".json")
    }

    /// The logical id of its table in `template.yaml`.
    pub fn table(self) -> &'static str {
        match self {
            Self::Credentials => "AsTable",
            Self::QsKeys | Self::TokenKeys => "QsTable",
        }
    }

    /// Its key in the table.
    pub fn key(self) -> Item {
        match self {
            Self::Credentials => public_credentials::key(),
            Self::QsKeys => public_keys::key(),
            Self::TokenKeys => public_keys::token_keys_key(),
        }
    }
}
