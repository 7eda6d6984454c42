//! Pages of ordered lists.

/// Which end a list starts from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Order {
    /// Smallest key first.
    #[default]
    Ascending,
    /// Largest key first.
    Descending,
}

/// Where a page starts, relative to an item the caller has seen, in the list's own order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cursor<C> {
    /// The items that follow it.
    After(C),
    /// The items right before it, still given in the list's order.
    Before(C),
}

/// Which part of a list is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PageRequest<C> {
    /// At most so many items.
    pub limit: u16,
    /// The list's order.
    pub order: Order,
    /// Where to start; `None` is the list's beginning.
    pub cursor: Option<Cursor<C>>,
}

/// How many rows a filtered list examines for one page, whatever it finds.
pub const ROWS_EXAMINED_MAX: usize = 10_000;

/// How many bytes of bodies a list that is searched looks through for one page, give or take one
/// body.
pub const BYTES_EXAMINED_MAX: usize = 16 * 1024 * 1024;

/// A part of a list, always in the list's order.
///
/// `C` is the list's cursor where a filter can leave a page short, and `()` elsewhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page<T, C = ()> {
    /// The items.
    pub items: Vec<T>,
    /// Nothing follows in the direction that was asked for.
    pub done: bool,
    /// The last row examined, when [`ROWS_EXAMINED_MAX`] ended the page before it was full: the
    /// next page starts here, because there may be no item to start from. `None` otherwise.
    pub resume: Option<C>,
}

impl<T, C> Page<T, C> {
    /// Applies `f` to every item.
    pub fn map<U>(self, f: impl FnMut(T) -> U) -> Page<U, C> {
        Page {
            items: self.items.into_iter().map(f).collect(),
            done: self.done,
            resume: self.resume,
        }
    }
}
