//! A line by its own clock: what comes when, and whose turn it is.

use proptest::prelude::*;

use super::*;

const A: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));
const B: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 2));

/// A line, and when it began.
fn line(per_second_max: u32) -> (Line<(IpAddr, usize)>, Instant) {
    let start = Instant::now();
    (Line::new(per_second_max, start), start)
}

fn at(start: Instant, millis: u64) -> Instant {
    start + Duration::from_millis(millis)
}

/// When the next turn is, in milliseconds, and whose.
fn next(line: &mut Line<(IpAddr, usize)>, start: Instant) -> Option<(u128, (IpAddr, usize))> {
    let turn = line.next_turn()?;
    Some(((turn - start).as_millis(), line.take(turn).unwrap()))
}

#[test]
fn turns_are_spread_evenly_and_a_line_of_a_second_is_the_longest() {
    let (mut line, start) = line(4);
    assert!(matches!(line.arrive(start, A, (A, 0)), Arrival::Now));
    let Arrival::Calls(_caller) = line.arrive(start, A, (A, 1)) else { panic!("somebody has to call") };
    for number in 2..8 {
        assert!(matches!(line.arrive(start, A, (A, number)), Arrival::Waits), "one calls for all");
    }
    assert!(line.take(at(start, 249)).is_none(), "it is nobody's turn yet");
    let turns: Vec<_> = std::iter::from_fn(|| next(&mut line, start)).collect();
    assert_eq!(turns, [(250, (A, 1)), (500, (A, 2)), (750, (A, 3)), (1000, (A, 4))], "5 to 7 had no place");
    assert!(matches!(line.arrive(at(start, 9000), A, (A, 8)), Arrival::Now), "nobody waits");
    assert!(matches!(line.arrive(at(start, 9001), A, (A, 9)), Arrival::Calls(_)), "what nobody took is not saved up");
    assert_eq!(next(&mut line, start), Some((9250, (A, 9))));
}

#[test]
fn a_peer_waits_for_one_of_each_other_and_not_for_all_that_one_of_them_has() {
    let (mut line, start) = line(1000);
    for number in 0..900 {
        let _ = line.arrive(start, A, (A, number));
    }
    let _ = line.arrive(start, B, (B, 0));
    assert_eq!(next(&mut line, start), Some((1, (A, 1))));
    assert_eq!(next(&mut line, start), Some((2, (B, 0))));
    assert_eq!(next(&mut line, start), Some((3, (A, 2))), "and nobody is forgotten");
}

#[test]
fn a_full_line_takes_a_place_from_the_peer_that_has_most_for_one_that_has_fewer() {
    let (mut line, start) = line(4);
    for number in 0..9 {
        let _ = line.arrive(start, A, (A, number));
    }
    for number in 0..3 {
        let _ = line.arrive(start, B, (B, number));
    }
    let turns: Vec<_> = std::iter::from_fn(|| next(&mut line, start)).map(|(_, who)| who).collect();
    assert_eq!(turns, [(A, 1), (B, 0), (A, 2), (B, 1)], "two each, and those who came first");
    assert!(line.waiting.is_empty() && line.round.is_empty(), "nothing is remembered of those who are gone");
}

#[test]
fn when_the_one_who_calls_is_gone_the_next_who_comes_calls() {
    let (mut line, start) = line(4);
    let _ = line.arrive(start, A, (A, 0));
    let Arrival::Calls(caller) = line.arrive(start, A, (A, 1)) else { panic!("somebody has to call") };
    drop(caller);
    let Arrival::Calls(_caller) = line.arrive(start, B, (B, 0)) else { panic!("nobody calls") };
    assert!(matches!(line.arrive(start, B, (B, 1)), Arrival::Waits));
}

proptest! {
    #[test]
    fn no_second_has_more_than_its_number_nobody_waits_longer_and_everybody_is_counted(
        per_second in 1_u32..50,
        arrivals in proptest::collection::vec((0_u64..100, 1..5_u8), 1..300),
    ) {
        let (mut line, start) = line(per_second);
        let mut now = start;
        let mut turns = Vec::new();
        for (number, (pause, peer)) in arrivals.into_iter().enumerate() {
            now += Duration::from_millis(pause);
            while line.next_turn().is_some_and(|turn| turn <= now) {
                let turn = line.next;
                prop_assert!(line.take(turn).is_some());
                turns.push(turn);
            }
            let peer = IpAddr::from([192, 0, 2, peer]);
            if matches!(line.arrive(now, peer, (peer, number)), Arrival::Now) {
                turns.push(now);
            }
            prop_assert_eq!(line.count, line.waiting.values().map(VecDeque::len).sum::<usize>());
            prop_assert_eq!(line.round.len(), line.waiting.len());
            let last = line.next + line.interval * u32::try_from(line.count.saturating_sub(1)).unwrap();
            prop_assert!(line.count == 0 || last - now <= Duration::from_secs(1));
        }
        // A little less than a second, because the interval is rounded down.
        let second = Duration::from_secs(1) - Duration::from_micros(1);
        for (index, turn) in turns.iter().enumerate() {
            let within = turns.iter().skip(index).take_while(|other| **other - *turn < second).count();
            prop_assert!(within <= usize::try_from(per_second).unwrap());
        }
    }
}
