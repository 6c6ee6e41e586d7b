//! A session commits: on a flight of its own, or of several sessions.

use std::collections::VecDeque;

use super::{Session, Then, Trip, Turn, Waiting};
use crate::http::Response;
use crate::store::group::{Boarded, Draft, End, Flight, Step};
use crate::store::{Commit, DirectoryId, PageCache, Reply};

/// How often a request may lose a race before it is answered 503.
const ATTEMPTS: u32 = 256;

impl Session {
    /// Makes the next commit of a step, or answers.
    pub(super) fn next(&mut self, cache: &PageCache, response: Response, mut rest: VecDeque<Commit>) -> Turn {
        match rest.pop_front() {
            Some(commit) => self.board(cache, commit, response, rest),
            None => self.answer(response),
        }
    }

    pub(super) fn board(
        &mut self,
        cache: &PageCache,
        commit: Commit,
        response: Response,
        rest: VecDeque<Commit>,
    ) -> Turn {
        let directory = commit.directory.clone();
        let boarded = match &self.group {
            // Who creates a directory has no rival.
            Some(group) if commit.expected.is_some() => group.board(commit, self.config.limits.group),
            _ => Boarded::Aboard(Flight::alone(commit)),
        };
        if let Boarded::Aboard(seat) = boarded {
            (self.approach, self.draft) = (None, None);
            return self.travel(cache, Trip { seat, directory, then: Then::Finish(response, rest) }, None);
        }
        self.follow(cache, directory, Some(boarded))
    }

    /// Runs the step again, on the draft of the directory's flight if there is one it can still join.
    pub(super) fn follow(&mut self, cache: &PageCache, directory: DirectoryId, boarded: Option<Boarded>) -> Turn {
        match boarded {
            None | Some(Boarded::Aboard(_)) => self.step(cache),
            Some(Boarded::Behind(seat, Draft { head, pages })) => {
                self.pages.extend(pages.into_iter().map(|page| (*page.id(), page)));
                self.heads.insert(directory.clone(), Some(head));
                self.draft = Some((directory, seat));
                self.step(cache)
            }
            Some(Boarded::Missed(seat)) => {
                (self.approach, self.draft) = (None, None);
                self.travel(cache, Trip { seat, directory, then: Then::Rerun }, None)
            }
        }
    }

    pub(super) fn travel(&mut self, cache: &PageCache, trip: Trip, reply: Option<Reply>) -> Turn {
        match trip.seat.advance(cache, reply, self.truthful) {
            Step::Call(call) => {
                self.waiting = Waiting::Flight(Box::new(trip));
                Turn::Call(call)
            }
            Step::Wait => {
                self.waiting = Waiting::Flight(Box::new(trip));
                Turn::Wait
            }
            Step::Over(end, None) => self.arrive(cache, trip, end),
            Step::Over(end, Some(call)) => {
                self.waiting = Waiting::Cleaning(Box::new(trip), end);
                Turn::Call(call)
            }
        }
    }

    pub(super) fn arrive(&mut self, cache: &PageCache, trip: Trip, end: End) -> Turn {
        let Trip { directory, then, seat } = trip;
        match (then, end) {
            (Then::Rerun, _) if !seat.is_early() => {
                self.heads.remove(&directory);
                self.run_again(cache, directory)
            }
            (Then::Finish(response, rest), End::Landed(_)) => self.next(cache, response, rest),
            (Then::Finish(..), End::Failed(incident)) => self.fail(incident),
            (Then::Conclude(result), End::Landed(Some(head))) => {
                self.heads.insert(directory, Some(head));
                self.conclude(cache, result)
            }
            (Then::Rerun, End::Landed(Some(head))) => {
                self.heads.insert(directory.clone(), Some(head));
                self.run_again(cache, directory)
            }
            (_, End::Lost(head)) => {
                // What was decided stands; only the head of the work aside is looked at again.
                if self.decided.is_none() {
                    self.heads.clear();
                }
                self.heads.insert(directory.clone(), Some(head));
                self.run_again(cache, directory)
            }
            (Then::Conclude(_) | Then::Rerun, End::Failed(_) | End::Landed(None)) => {
                self.heads.remove(&directory);
                self.run_again(cache, directory)
            }
        }
    }

    /// Runs the step again after a race, with new page names.
    pub(super) fn run_again(&mut self, cache: &PageCache, directory: DirectoryId) -> Turn {
        self.attempt += 1;
        if self.attempt >= ATTEMPTS {
            return self.fail(format!("too many writers: {ATTEMPTS} races lost"));
        }
        if let (Some(group), None) = (&self.group, &self.decided) {
            self.approach = Some(group.approach());
        }
        let met = self.group.as_ref().and_then(|group| group.meet(&directory));
        self.follow(cache, directory, met)
    }
}
