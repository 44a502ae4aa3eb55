//! `vestibule account` and `vestibule tokens`.

use super::CommandError;
use super::arguments::{AccountCommand, DeleteAccount};
use super::linking::Questions;
use super::password::PasswordPrompt;
use super::report::Report;
use crate::client::Client;
use crate::error::Error;

/// Deletes the account, if that is what the person wants.
pub(super) async fn execute_account(
    command: &AccountCommand,
    mut client: Client,
    questions: Questions,
    report: &mut Report<'_>,
    mut prompt: PasswordPrompt<'_>,
) -> Result<(), CommandError> {
    let AccountCommand::Delete(DeleteAccount { password_stdin, yes }) = command;
    let user_name = client.account_to_delete()?;
    if !yes {
        if !questions.can_ask {
            return Err(Error::NobodyToAsk.into());
        }
        report.deletion_warning(&user_name);
        let answer = questions.ask(report, &format!("Type {user_name} to delete it: ")).await?;
        if !matches!(answer.trim().to_lowercase().as_str(), "y" | "yes") && answer.trim() != user_name.as_str() {
            return Err(CommandError::NotDeleted(user_name));
        }
    }
    let deleted = client.delete_account(|password_use| prompt.ask("Password: ", password_use, *password_stdin)).await?;
    report.account_deleted(&deleted);
    Ok(())
}

/// Says how many tokens there are.
pub(super) fn execute_tokens(client: &Client, report: &mut Report<'_>) -> Result<(), CommandError> {
    report.tokens(&client.tokens()?);
    Ok(())
}
