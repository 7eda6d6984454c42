//! Order per key.

use domain::{EndpointKey, MessageKey, OrderingKey, Timestamp};

use super::{Back, State, Status};

impl State {
    /// Puts a delivery at the end of its line, where it waits unless it is the head.
    pub(super) fn enter(
        &mut self,
        message: MessageKey,
        to: EndpointKey,
        key: &OrderingKey,
    ) -> bool {
        let line = self.lines.entry((to, key.clone())).or_default();
        line.push(message);
        let head = line.len() == 1;
        let delivery = self.deliveries.get_mut(&(message, to));
        let delivery = delivery.expect("it was made just now");
        match &mut delivery.back {
            Some(Back::Pending { waiting, .. }) => *waiting = !head,
            _ => delivery.waiting = !head,
        }
        head
    }

    /// Takes a delivery out of its line, and lets the next one go when it was the head.
    pub(super) fn leave(&mut self, message: MessageKey, to: EndpointKey, at: Timestamp) -> bool {
        let found = self
            .lines
            .iter()
            .find(|((of, _), line)| *of == to && line.contains(&message));
        let Some(key) = found.map(|(key, _)| key.clone()) else {
            return false;
        };
        let line = self.lines.get_mut(&key).expect("found just now");
        let was_head = line[0] == message;
        line.retain(|other| *other != message);
        let Some(next) = line.first().copied() else {
            self.lines.remove(&key);
            return false;
        };
        let deleted = self.live(to).is_none();
        let delivery = self.deliveries.get_mut(&(next, to));
        let delivery = delivery.filter(|one| one.status == Status::Pending);
        let Some(delivery) = delivery.filter(|_| was_head && !deleted) else {
            return false;
        };
        let (due, waiting) = match &mut delivery.back {
            Some(Back::Pending { due, waiting }) => (due, waiting),
            _ => (&mut delivery.due, &mut delivery.waiting),
        };
        *waiting = false;
        *due = at.max(*due);
        true
    }
}
