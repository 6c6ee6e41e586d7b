//! Decisions about the users of an application: the same heads and pages as reads, but nobody to forward to, so a
//! request waits until the directory is known or can not be asked.

use scim_engine::http::Request;
use scim_engine::scim;
use scim_engine::store::{Fault, Need};

use super::{Current, Ticket, Verdict, Worker, unavailable};
use crate::decision::{Outcome, Question};
use crate::origin::Context;
use crate::replica::Fetch;
use crate::shared::Shared;

/// Times one request may ask the origin for pages, or start over with a newer head: a tree of any size and groups as
/// deep as they are followed need fewer.
const ROUNDS: u8 = 32;

/// Bytes of a ruling besides its groups, about.
const RULING: usize = 512;

/// A decision that is not made yet.
pub(super) struct Pending {
    subject: String,
    rounds: u8,
}

impl<S: Shared> Worker<S> {
    /// A request asks about its subject at `now`.
    pub fn decide(&mut self, context: Context, question: Question, now: u64) -> Verdict {
        let pending = Pending { subject: question.subject, rounds: 0 };
        let ticket = Ticket::new(question.directory, Request::default(), now);
        self.settle(context, Ticket { pending: Some(pending), ..ticket }, now)
    }

    /// Runs a decision as far as it goes.
    pub(super) fn advance_decision(&mut self, context: Context, ticket: &mut Ticket, now: u64) -> Verdict {
        if ticket.fetch == Fetch::Outdated {
            // A commit replaced the pages: what it left is to be found from a newer head.
            ticket.checked = None;
        }
        let verdict = match self.current(context, ticket, now) {
            Ok(current) => self.rule(context, ticket, &current, now),
            Err(verdict) => verdict,
        };
        match verdict {
            Verdict::Hold | Verdict::Rule(_) => verdict,
            Verdict::Forward | Verdict::Answer(_) => self.undecided(),
        }
    }

    fn rule(&mut self, context: Context, ticket: &mut Ticket, current: &Current, now: u64) -> Verdict {
        let (Some(rules), Some(pending)) = (&self.config.decision, &ticket.pending) else { return unavailable() };
        let key =
            current.head.as_ref().and_then(|head| Some([head.recent().first()?, pending.subject.as_bytes()].concat()));
        if let Some(kept) = key.as_ref().and_then(|key| self.answers.get(key)) {
            return kept;
        }
        let decided = self.step(ticket, current, |_, view, env| {
            scim::decide(&ticket.directory, rules.matched_by, &pending.subject, view, env)
        });
        match decided {
            Ok(decision) => {
                let ruling = rules.ruling(decision);
                let size = RULING + ruling.user.as_ref().map_or(0, |user| user.groups.len());
                let verdict = Verdict::Rule(Box::new(ruling));
                if let Some(key) = key {
                    self.answers.keep(key, verdict.clone(), size);
                }
                verdict
            }
            Err(Fault::Need(need)) if current.stale.is_none() && ticket.fetch != Fetch::Failed => {
                self.fetch_more(context, ticket, need, now)
            }
            Err(Fault::Need(_) | Fault::Refused(_)) => self.undecided(),
            Err(Fault::Damaged(what)) => {
                log::error!("{what}");
                self.undecided()
            }
        }
    }

    /// Waits for pages, whether or not it has waited for others before.
    fn fetch_more(&mut self, context: Context, ticket: &mut Ticket, need: Need, now: u64) -> Verdict {
        let Some(pending) = ticket.pending.as_mut().filter(|pending| pending.rounds < ROUNDS) else {
            return self.undecided();
        };
        pending.rounds += 1;
        ticket.fetch = Fetch::None;
        self.fetch(context, ticket, need, now)
    }

    fn undecided(&self) -> Verdict {
        let ruling = self.config.decision.as_ref().map(|rules| rules.without(Outcome::Unavailable));
        ruling.map_or_else(unavailable, |ruling| Verdict::Rule(Box::new(ruling)))
    }
}
