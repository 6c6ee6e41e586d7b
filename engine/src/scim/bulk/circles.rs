//! In which order operations run that refer to each other: what is referred to comes first, and the operations of a
//! circle come together.
//!
//! Tarjan's algorithm for strongly connected components, which finds them in that order. It keeps its own stack: how deep
//! references lead is up to the client.

/// Groups of operations in the order they have to run; `refers` holds what each operation refers to. A group of more
/// than one is a circle.
pub fn groups<'r>(refers: impl IntoIterator<Item = &'r [usize]>) -> Vec<Vec<usize>> {
    let refers: Vec<_> = refers.into_iter().collect();
    let marks = vec![Mark::default(); refers.len()];
    let mut search = Search { refers: &refers, marks, open: Vec::new(), groups: Vec::new(), met: 0 };
    for at in 0..refers.len() {
        if search.mark(at).met.is_none() {
            search.visit(at);
        }
    }
    search.groups
}

/// What is known of an operation.
#[derive(Clone, Copy, Default)]
struct Mark {
    /// When it was met, from 0.
    met: Option<usize>,
    /// The earliest one met that it leads to and whose group is still open.
    low: usize,
    /// Whether its group is still open.
    open: bool,
}

struct Search<'r> {
    refers: &'r [&'r [usize]],
    marks: Vec<Mark>,
    /// Operations whose group is still open, in the order they were met.
    open: Vec<usize>,
    groups: Vec<Vec<usize>>,
    met: usize,
}

impl Search<'_> {
    fn visit(&mut self, root: usize) {
        self.meet(root);
        let mut path = vec![(root, 0)];
        while let Some((at, followed)) = path.last_mut() {
            let at = *at;
            let next = self.refers.get(at).and_then(|refers| refers.get(*followed)).copied();
            *followed += 1;
            match next.map(|to| (to, self.mark(to))) {
                Some((to, Mark { met: None, .. })) => {
                    self.meet(to);
                    path.push((to, 0));
                }
                Some((_, Mark { met: Some(met), open: true, .. })) => self.lower(at, met),
                Some(_) => {}
                None => {
                    path.pop();
                    if let Some((from, _)) = path.last() {
                        self.lower(*from, self.mark(at).low);
                    }
                    self.close(at);
                }
            }
        }
    }

    fn mark(&self, at: usize) -> Mark {
        self.marks.get(at).copied().unwrap_or_default()
    }

    fn meet(&mut self, at: usize) {
        if let Some(mark) = self.marks.get_mut(at) {
            *mark = Mark { met: Some(self.met), low: self.met, open: true };
            self.open.push(at);
            self.met += 1;
        }
    }

    fn lower(&mut self, at: usize, low: usize) {
        if let Some(mark) = self.marks.get_mut(at) {
            mark.low = mark.low.min(low);
        }
    }

    /// Closes the group of an operation that leads to nothing met before it.
    fn close(&mut self, at: usize) {
        let Mark { met, low, .. } = self.mark(at);
        if met != Some(low) {
            return;
        }
        let start = self.open.iter().rposition(|open| *open == at).unwrap_or_default();
        let group = self.open.split_off(start);
        for member in &group {
            if let Some(mark) = self.marks.get_mut(*member) {
                mark.open = false;
            }
        }
        self.groups.push(group);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(refers: &[&[usize]], expected: &[&[usize]]) {
        let mut found = groups(refers.iter().copied());
        found.iter_mut().for_each(|group| group.sort_unstable());
        assert_eq!(found, expected, "{refers:?}");
    }

    #[test]
    fn what_is_referred_to_comes_first_and_circles_stay_together() {
        check(&[], &[]);
        check(&[&[], &[], &[]], &[&[0], &[1], &[2]]);
        check(&[&[2], &[0], &[]], &[&[2], &[0], &[1]]);
        check(&[&[0]], &[&[0]]);
        check(&[&[1], &[0]], &[&[0, 1]]);
        check(&[&[1], &[2], &[0, 3], &[]], &[&[3], &[0, 1, 2]]);
        check(&[&[1], &[0], &[3, 0], &[2]], &[&[0, 1], &[2, 3]]);
    }

    #[test]
    fn a_chain_of_any_length_is_followed() {
        let refers: Vec<Vec<usize>> = (1..100_000).map(|to| vec![to]).chain([Vec::new()]).collect();
        assert_eq!(groups(refers.iter().map(Vec::as_slice)).len(), 100_000);
    }

    proptest! {
        #[test]
        fn two_operations_share_a_group_if_and_only_if_each_leads_to_the_other(
            refers in (1_usize..12).prop_flat_map(|n| {
                prop::collection::vec(prop::collection::vec(0..n, 0..4), n)
            })
        ) {
            let found = groups(refers.iter().map(Vec::as_slice));
            let place = |at: usize| found.iter().position(|group| group.contains(&at)).unwrap();
            let leads = |from: usize, to: usize| {
                let (mut seen, mut ahead) = (vec![false; refers.len()], refers[from].clone());
                while let Some(at) = ahead.pop() {
                    if !std::mem::replace(&mut seen[at], true) {
                        ahead.extend(&refers[at]);
                    }
                }
                seen[to]
            };
            prop_assert_eq!(found.iter().map(Vec::len).sum::<usize>(), refers.len());
            for from in 0..refers.len() {
                for to in (0..refers.len()).filter(|to| *to != from) {
                    prop_assert_eq!(place(from) == place(to), leads(from, to) && leads(to, from));
                    prop_assert!(!leads(from, to) || place(to) <= place(from));
                }
            }
        }
    }
}
