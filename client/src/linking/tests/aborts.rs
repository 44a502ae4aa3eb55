//! How a linking ends otherwise than well.

use super::*;
