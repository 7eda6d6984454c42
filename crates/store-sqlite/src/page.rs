//! Pages of lists: which way to walk an index, and where to stop.

use rusqlite::{Row, Rows};
use store::{Cursor, Order, Page, PageRequest, ROWS_EXAMINED_MAX};

/// How a page is read: the index is walked from the cursor on, in the direction asked for.
pub(crate) struct Walk {
    limit: usize,
    ascending: bool,
    /// What is found lies against the list's order and is turned round in the end.
    backwards: bool,
}

impl Walk {
    /// Walks a whole range from its beginning, for callers that count for themselves.
    pub(crate) const fn ascending_from_start() -> Self {
        Self {
            limit: usize::MAX,
            ascending: true,
            backwards: false,
        }
    }

    pub(crate) fn of<C>(page: &PageRequest<C>) -> Self {
        let backwards = matches!(page.cursor, Some(Cursor::Before(_)));
        Self {
            limit: usize::from(page.limit),
            ascending: (page.order == Order::Ascending) != backwards,
            backwards,
        }
    }

    /// Returns the direction in words of SQL.
    pub(crate) const fn direction(&self) -> &'static str {
        if self.ascending { "ASC" } else { "DESC" }
    }

    pub(crate) const fn ascending(&self) -> bool {
        self.ascending
    }

    /// Makes a page of items that were found in the direction of the walk.
    pub(crate) fn page<T>(&self, mut items: Vec<T>, done: bool) -> Page<T> {
        if self.backwards {
            items.reverse();
        }
        Page {
            items,
            done,
            resume: None,
        }
    }

    /// Narrows a range that excludes its ends by the page's cursor.
    pub(crate) fn range<C, B: Ord>(
        &self,
        cursor: Option<&Cursor<C>>,
        (low, high): (B, B),
        bound: impl Fn(&C) -> B,
    ) -> (B, B) {
        match cursor {
            None => (low, high),
            Some(Cursor::After(at) | Cursor::Before(at)) if self.ascending => {
                (low.max(bound(at)), high)
            }
            Some(Cursor::After(at) | Cursor::Before(at)) => (low, high.min(bound(at))),
        }
    }

    /// Reads rows until the page is full and it is known whether more follow. `read` returns
    /// where a row stands, and what it is unless it is filtered out.
    pub(crate) fn collect<T, C>(
        &self,
        rows: Rows<'_>,
        mut read: impl FnMut(&Row<'_>) -> rusqlite::Result<(C, Option<T>)>,
    ) -> rusqlite::Result<Page<T, C>> {
        self.collect_within(rows, |row| read(row).map(|(at, item)| (at, item, false)))
    }

    /// [`Self::collect`] for reading that may cost more than rows: `read` returns as well whether
    /// it has spent what it may.
    pub(crate) fn collect_within<T, C>(
        &self,
        mut rows: Rows<'_>,
        mut read: impl FnMut(&Row<'_>) -> rusqlite::Result<(C, Option<T>, bool)>,
    ) -> rusqlite::Result<Page<T, C>> {
        let mut page = Page {
            items: Vec::new(),
            done: true,
            resume: None,
        };
        let mut examined = 0;
        let mut spent = false;
        let mut last = None;
        while let Some(row) = rows.next()? {
            if examined == ROWS_EXAMINED_MAX || spent {
                page.done = false;
                // A full page goes on from its last item, like any other.
                page.resume = last.filter(|_| page.items.len() < self.limit);
                break;
            }
            examined += 1;
            let (at, item, enough) = read(row)?;
            spent = enough;
            last = Some(at);
            if let Some(item) = item {
                if page.items.len() == self.limit {
                    page.done = false;
                    break;
                }
                page.items.push(item);
            }
        }
        if self.backwards {
            page.items.reverse();
        }
        Ok(page)
    }

    /// [`Self::collect`] for lists without filters.
    pub(crate) fn collect_all<T>(
        &self,
        rows: Rows<'_>,
        mut read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
    ) -> rusqlite::Result<Page<T>> {
        self.collect(rows, |row| Ok(((), Some(read(row)?))))
    }
}

/// Ends of a range over ids: shorter and longer than any of 16 bytes.
pub(crate) const ID_ENDS: (&[u8], &[u8]) = (&[], &[0xff; 17]);
