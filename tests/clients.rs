//! A user's clients at the authentication service, request by request: how they are added, renewed and removed, how the
//! user's password is asked for, and how the user ends.

mod additions;
mod deletions;
mod household;
mod lapses;
mod logins;
mod races;
mod refused_everywhere;
mod removals;
mod renewals;
