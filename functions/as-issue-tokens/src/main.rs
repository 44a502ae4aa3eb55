fn main() -> std::process::ExitCode {
    vestibule_backend::run::<as_issue_tokens::AsIssueTokens>()
}
