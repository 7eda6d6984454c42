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

/// A part of a list, always in the list's order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page<T> {
    /// The items.
    pub items: Vec<T>,
    /// Nothing follows in the direction that was asked for.
    pub done: bool,
}

impl<T> Page<T> {
    /// Applies `f` to every item.
    pub fn map<U>(self, f: impl FnMut(T) -> U) -> Page<U> {
        Page {
            items: self.items.into_iter().map(f).collect(),
            done: self.done,
        }
    }
}
