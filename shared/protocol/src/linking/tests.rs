//! Both machines, step by step, without a session in between.

pub(super) mod conversation;
mod existing_device;
mod messages;
mod new_device;
mod order;

use conversation::{Conversation, Deployment, NOW, Step, standing};
