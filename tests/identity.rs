//! A user's identity at the authentication service, request by request: what is accepted, and everything that is not.

mod commits;
mod forged;
mod group_infos;
mod history;
mod members;
mod races;
mod refused_commits;
mod resets;
mod starts;
mod user_secrets;
mod wedged;
