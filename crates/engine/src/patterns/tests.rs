use super::*;

use domain::EventTypeFilter;

fn filter(text: &str) -> EventTypeFilter {
    EventTypeFilter::parse(text).expect("a filter")
}

fn patterns<'a>(texts: impl IntoIterator<Item = &'a str>) -> Patterns {
    let mut patterns = Patterns::default();
    for (position, text) in texts.into_iter().enumerate() {
        let EventTypeFilter::Pattern(pattern) = filter(text) else {
            panic!("{text} is no pattern");
        };
        patterns.insert(&pattern, position);
    }
    patterns
}

fn found(patterns: &Patterns, name: &str) -> Vec<usize> {
    let mut found = Vec::new();
    let name = EventType::parse(name).expect("an event type");
    patterns.find(&name, &mut found);
    found.sort_unstable();
    found
}

/// Every text of one to `max` segments out of these.
fn texts(of: &[&str], max: usize) -> Vec<String> {
    let mut all: Vec<String> = Vec::new();
    let mut longest: Vec<String> = of.iter().map(|&segment| segment.to_owned()).collect();
    for _ in 1..max {
        let longer = longest
            .iter()
            .flat_map(|text| of.iter().map(move |segment| format!("{text}.{segment}")))
            .collect();
        all.append(&mut longest);
        longest = longer;
    }
    all.append(&mut longest);
    all
}

/// Looked up together, they match as each of them does alone.
#[test]
fn every_pattern_of_three_segments_is_found_for_exactly_what_it_matches() {
    let mut wanted = texts(&["a", "b", "*"], 3);
    let with_rest: Vec<_> = wanted.iter().map(|text| format!("{text}.**")).collect();
    wanted.extend(with_rest);
    wanted.push("**".to_owned());
    wanted.retain(|text| text.contains('*'));
    let together = patterns(wanted.iter().map(String::as_str));

    for name in texts(&["a", "b", "c"], 5) {
        let event_type = EventType::parse(&name).expect("an event type");
        let alone = wanted.iter().enumerate();
        let alone = alone.filter(|(_, text)| filter(text).matches(&event_type));
        let alone: Vec<usize> = alone.map(|(position, _)| position).collect();
        assert_eq!(found(&together, &name), alone, "{name}");
    }
}

#[test]
fn many_can_ask_for_the_same_pattern_and_one_for_many() {
    let mut patterns = patterns(["a.*", "a.*", "a.**"]);
    let EventTypeFilter::Pattern(wide) = filter("*.b") else {
        panic!("a pattern");
    };
    patterns.insert(&wide, 0);

    assert_eq!(found(&patterns, "a.b"), [0, 0, 1, 2]);
    assert_eq!(found(&patterns, "b.b"), [0]);
    assert_eq!(found(&patterns, "b"), [0; 0]);
}

/// The worst there is: at every segment both ways go on, and nothing matches in the end. The
/// number of ways is counted, not the time, so that a slow machine does not matter.
#[test]
fn a_look_up_is_bounded_whatever_the_patterns_say() {
    let mut wanted: Vec<String> = texts(&["a", "*"], EventTypePattern::SEGMENTS_MAX - 1);
    for text in &mut wanted {
        text.push_str(".z");
    }
    wanted.retain(|text| text.contains('*'));
    let others = (0..10_000).map(|number| format!("*.{number}.*"));
    wanted.extend(others);
    let patterns = patterns(wanted.iter().map(String::as_str));

    let ways = |name: &str| {
        let (mut nodes, mut ways) = (vec![ROOT], 0);
        for segment in name.split('.') {
            let number = patterns.segments.get(segment).copied();
            let steps = nodes.iter().flat_map(|&node| {
                let literal = number.map(|number| (node, number));
                [Some((node, ONE)), literal].into_iter().flatten()
            });
            nodes = steps
                .filter_map(|edge| patterns.edges.get(&edge).copied())
                .collect();
            ways += nodes.len();
        }
        ways
    };
    let name = ["a"; 128].join(".");

    assert!(ways(&name) < 1 << (EventTypePattern::SEGMENTS_MAX + 1));
    assert_eq!(found(&patterns, &name), [0; 0]);
    assert_eq!(found(&patterns, "x.9999.y").len(), 1);
}
