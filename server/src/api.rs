//! What programs ask for over HTTP; one file a resource.

pub(crate) mod token;
