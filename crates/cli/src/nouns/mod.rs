//! Commands about things: a noun, a verb, and what the API does with them.

/// Says of each verb of a noun where the options are that all commands have in common.
macro_rules! with_common {
    ($noun:ident: $($verb:ident),+) => {
        impl $noun {
            pub(crate) fn common(&self) -> &Common {
                match self {
                    $(Self::$verb(args) => &args.common,)+
                }
            }
        }
    };
}

pub(crate) mod app;
pub(crate) mod attempt;
pub(crate) mod audit;
pub(crate) mod endpoint;
pub(crate) mod event_type;
pub(crate) mod key;
pub(crate) mod message;
pub(crate) mod provider;
pub(crate) mod replay;
pub(crate) mod request;
pub(crate) mod source;
#[cfg(test)]
mod source_tests;
#[cfg(test)]
mod tests;
