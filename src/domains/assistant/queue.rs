//! The queue before the writer: fair between users, oldest first within one, with a place for each to know.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use crate::base::fault::Fault;

/// When somebody who was turned away may come back.
const COME_BACK: Duration = Duration::from_secs(10);

/// How many may run and wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Limits {
    /// Answers written side by side; at least one.
    pub(super) slots: usize,
    /// Questions that may wait.
    pub(super) waiting: usize,
    /// Questions of one user that may wait or run.
    pub(super) per_user: usize,
}

/// A question's number in the queue; never given twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Ticket(u64);

struct Waiting<T> {
    ticket: Ticket,
    item: T,
    /// The place it was last told; none before the first time.
    told: Option<usize>,
}

struct Line<T> {
    user: String,
    waiting: VecDeque<Waiting<T>>,
}

/// Who waits and who runs.
///
/// The next one is the oldest question of whoever has the fewest running; among equals it goes
/// round. So a user with eight questions delays another's first one by no more than a running answer.
pub(super) struct Queue<T> {
    limits: Limits,
    next: u64,
    /// One line a user who waits, in the order of their turns.
    lines: VecDeque<Line<T>>,
    running: BTreeMap<Ticket, String>,
}

impl<T> Queue<T> {
    pub(super) fn new(limits: Limits) -> Self {
        let limits = Limits { slots: limits.slots.max(1), ..limits };
        Self { limits, next: 0, lines: VecDeque::new(), running: BTreeMap::new() }
    }

    /// How many wait.
    pub(super) fn waiting(&self) -> usize {
        self.lines.iter().map(|line| line.waiting.len()).sum()
    }

    /// How many run.
    pub(super) fn running(&self) -> usize {
        self.running.len()
    }

    /// Takes a question in.
    ///
    /// # Errors
    /// `queue_full` when too many wait, or too many of this user wait or run.
    pub(super) fn join(&mut self, user: &str, item: T) -> Result<Ticket, Fault> {
        let line = self.lines.iter().position(|line| line.user == user);
        let own = line.and_then(|at| self.lines.get(at)).map_or(0, |line| line.waiting.len())
            + self.running_of(user);
        if own >= self.limits.per_user {
            return Err(Fault::busy(
                "queue_full",
                format!("You have {own} questions waiting already; let one of them end first."),
                COME_BACK,
            ));
        }
        let free = self.limits.slots.saturating_sub(self.running.len());
        if self.waiting() >= self.limits.waiting.saturating_add(free) {
            return Err(Fault::busy(
                "queue_full",
                format!("{} questions wait already; come back in a moment.", self.waiting()),
                COME_BACK,
            ));
        }
        let ticket = Ticket(self.next);
        self.next += 1;
        let waiting = Waiting { ticket, item, told: None };
        if let Some(line) = line.and_then(|at| self.lines.get_mut(at)) {
            line.waiting.push_back(waiting);
        } else {
            let waiting = VecDeque::from([waiting]);
            self.lines.push_back(Line { user: user.to_owned(), waiting });
        }
        Ok(ticket)
    }

    /// The next one that may run, when there is a free place; it runs from now on.
    pub(super) fn call(&mut self) -> Option<(Ticket, T)> {
        if self.running.len() >= self.limits.slots {
            return None;
        }
        let at = turn(self.lines.iter().map(|line| self.running_of(&line.user)))?;
        let mut line = self.lines.remove(at)?;
        let called = line.waiting.pop_front()?;
        self.running.insert(called.ticket, line.user.clone());
        if !line.waiting.is_empty() {
            self.lines.push_back(line);
        }
        Some((called.ticket, called.item))
    }

    /// A question that ran is over.
    pub(super) fn done(&mut self, ticket: Ticket) {
        self.running.remove(&ticket);
    }

    /// Lets go of a question that waits; one that runs goes on until it is [`Queue::done`].
    pub(super) fn leave(&mut self, ticket: Ticket) -> Option<T> {
        let (at, place) = self.lines.iter().enumerate().find_map(|(at, line)| {
            let place = line.waiting.iter().position(|waiting| waiting.ticket == ticket)?;
            Some((at, place))
        })?;
        let line = self.lines.get_mut(at)?;
        let gone = line.waiting.remove(place);
        if line.waiting.is_empty() {
            self.lines.remove(at);
        }
        gone.map(|waiting| waiting.item)
    }

    /// Calls `tell` for each question whose place is another than it was last told: how many come
    /// before it, if nobody joins and nobody leaves.
    pub(super) fn tell(&mut self, mut tell: impl FnMut(&T, usize)) {
        let mut running: Vec<usize> =
            self.lines.iter().map(|line| self.running_of(&line.user)).collect();
        let mut taken = vec![0; self.lines.len()];
        // The ring as it would turn: the places of lines that still wait.
        let mut ring: VecDeque<usize> = (0..self.lines.len()).collect();
        let mut place = 0;
        while let Some(at) = turn(ring.iter().map(|line| running.get(*line).copied().unwrap_or(0)))
        {
            let Some(number) = ring.remove(at) else { return };
            let Some(line) = self.lines.get_mut(number) else { return };
            let (Some(done), Some(running)) = (taken.get_mut(number), running.get_mut(number))
            else {
                return;
            };
            if let Some(waiting) = line.waiting.get_mut(*done)
                && waiting.told.replace(place) != Some(place)
            {
                tell(&waiting.item, place);
            }
            *done += 1;
            *running += 1;
            place += 1;
            if *done < line.waiting.len() {
                ring.push_back(number);
            }
        }
    }

    /// Takes everything out that waits.
    pub(super) fn empty(&mut self) -> Vec<T> {
        let lines = std::mem::take(&mut self.lines);
        lines.into_iter().flat_map(|line| line.waiting).map(|waiting| waiting.item).collect()
    }

    fn running_of(&self, user: &str) -> usize {
        self.running.values().filter(|running| running.as_str() == user).count()
    }
}

/// Whose turn it is: the first of those with the fewest running.
fn turn(running: impl Iterator<Item = usize>) -> Option<usize> {
    running.enumerate().min_by_key(|(at, running)| (*running, *at)).map(|(at, _)| at)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queue(slots: usize, waiting: usize, per_user: usize) -> Queue<&'static str> {
        Queue::new(Limits { slots, waiting, per_user })
    }

    /// The places told, in the order they were told.
    fn told(queue: &mut Queue<&'static str>) -> Vec<(&'static str, usize)> {
        let mut places = Vec::new();
        queue.tell(|item, place| places.push((*item, place)));
        places
    }

    #[test]
    fn a_user_with_many_questions_does_not_stand_before_another() {
        let mut queue = queue(1, 9, 9);
        for item in ["a1", "a2", "a3"] {
            queue.join("a", item).unwrap();
        }
        let (first, _) = queue.call().unwrap();
        queue.join("b", "b1").unwrap();
        queue.join("c", "c1").unwrap();
        assert!(queue.call().is_none(), "the only place is taken");
        queue.done(first);
        let mut order = Vec::new();
        while let Some((ticket, item)) = queue.call() {
            order.push(item);
            queue.done(ticket);
        }
        assert_eq!(order, ["a2", "b1", "c1", "a3"]);
    }

    #[test]
    fn who_has_fewer_running_comes_first() {
        let mut queue = queue(2, 9, 9);
        for item in ["a1", "a2", "a3"] {
            queue.join("a", item).unwrap();
        }
        let (first, _) = queue.call().unwrap();
        queue.call().unwrap();
        queue.join("b", "b1").unwrap();
        queue.done(first);
        assert_eq!(queue.call().map(|(_, item)| item), Some("b1"));
    }

    #[test]
    fn places_are_told_once_and_again_when_they_change() {
        let mut queue = queue(1, 9, 9);
        let running = queue.join("a", "a1").unwrap();
        queue.call().unwrap();
        queue.join("a", "a2").unwrap();
        let leaving = queue.join("b", "b1").unwrap();
        queue.join("c", "c1").unwrap();
        // Those who have nothing running come before the one who has.
        assert_eq!(told(&mut queue), [("b1", 0), ("c1", 1), ("a2", 2)]);
        assert_eq!(told(&mut queue), []);
        assert_eq!(queue.leave(leaving), Some("b1"));
        assert_eq!(told(&mut queue), [("c1", 0), ("a2", 1)]);
        queue.done(running);
        // Now nobody has anything running, and it goes round.
        assert_eq!(told(&mut queue), [("a2", 0), ("c1", 1)]);
    }

    #[test]
    fn the_order_told_is_the_order_served() {
        let mut queue = queue(1, 20, 9);
        queue.join("a", "a0").unwrap();
        let (mut running, _) = queue.call().unwrap();
        for (user, item) in [("a", "a1"), ("a", "a2"), ("b", "b1"), ("c", "c1"), ("b", "b2")] {
            queue.join(user, item).unwrap();
        }
        queue.done(running);
        let expected: Vec<_> = told(&mut queue).into_iter().map(|(item, _)| item).collect();
        let mut served = Vec::new();
        while let Some((ticket, item)) = queue.call() {
            served.push(item);
            running = ticket;
            queue.done(running);
        }
        assert_eq!(served, ["a1", "b1", "c1", "a2", "b2"]);
        assert_eq!(expected, served);
    }

    #[test]
    fn limits_are_kept_and_a_place_that_is_left_is_free_at_once() {
        let mut queue = queue(1, 2, 2);
        let first = queue.join("a", "a1").unwrap();
        queue.call().unwrap();
        queue.join("a", "a2").unwrap();
        let refused = queue.join("a", "a3").unwrap_err();
        assert_eq!((refused.code, refused.retry_after), ("queue_full", Some(COME_BACK)));
        let waiting = queue.join("b", "b1").unwrap();
        assert_eq!(queue.join("c", "c1").unwrap_err().code, "queue_full");
        queue.leave(waiting);
        queue.join("c", "c1").unwrap();
        assert_eq!((queue.running(), queue.waiting()), (1, 2));
        assert_eq!(queue.leave(first), None, "what runs does not wait");
        assert_eq!((queue.running(), queue.waiting()), (1, 2));
        queue.done(first);
        assert_eq!((queue.running(), queue.waiting()), (0, 2));
        assert_eq!(queue.empty(), ["a2", "c1"]);
    }

    #[test]
    fn a_queue_that_lets_nobody_wait_still_serves_whoever_finds_a_free_place() {
        let mut queue = queue(1, 0, 1);
        queue.join("a", "a1").unwrap();
        queue.call().unwrap();
        assert_eq!(queue.join("b", "b1").unwrap_err().code, "queue_full");
    }
}
