//! How long a refusal takes says nothing about how much of a key was right (F1).
#![allow(
    clippy::disallowed_methods,
    clippy::cast_precision_loss,
    reason = "it measures real time, and a count of thousands fits a float"
)]

use std::time::Instant;

use super::harness::{ADMIN_KEY, TestApi};

const PAIRS: usize = 4_000;
/// A leak shows in each of them.
const ATTEMPTS: usize = 10;
/// Beyond it, two kinds of key are told apart.
const T_MAX: f64 = 4.5;

/// Welch's t of two samples, without their slowest tenth: what else the machine did.
fn welch(first: Vec<f64>, second: Vec<f64>) -> f64 {
    let moments = |mut sample: Vec<f64>| {
        sample.sort_by(f64::total_cmp);
        sample.truncate(sample.len() * 9 / 10);
        let count = sample.len() as f64;
        let mean = sample.iter().sum::<f64>() / count;
        let squares = sample.iter().map(|one| (one - mean).powi(2));
        (mean, squares.sum::<f64>() / (count - 1.0) / count)
    };
    let ((one, of_one), (other, of_other)) = (moments(first), moments(second));
    (one - other) / (of_one + of_other).sqrt()
}

fn wrong_at(index: usize) -> Vec<u8> {
    let mut key = ADMIN_KEY.as_bytes().to_vec();
    key[index] ^= 1;
    key
}

/// A key is looked up by its SHA-256, of which no part tells how much of the key was right.
#[tokio::test]
async fn a_key_that_is_nearly_right_is_refused_as_fast_as_any_other() {
    let api = TestApi::new().await;
    let (first, last) = (wrong_at(3), wrong_at(ADMIN_KEY.len() - 1));
    let nanoseconds = async |key: &[u8]| {
        let began = Instant::now();
        assert!(api.service.authenticate(key).await.is_err());
        began.elapsed().as_nanos() as f64
    };

    // A machine that is busy at the wrong moment is no leak; one that leaks does so each time.
    for attempt in 1.. {
        let (mut firsts, mut lasts) = (Vec::new(), Vec::new());
        for pair in 0..PAIRS {
            // In turns, so that neither is always the one for which the other has warmed the cache.
            if pair % 2 == 0 {
                firsts.push(nanoseconds(&first).await);
                lasts.push(nanoseconds(&last).await);
            } else {
                lasts.push(nanoseconds(&last).await);
                firsts.push(nanoseconds(&first).await);
            }
        }
        let t = welch(firsts, lasts);
        if t.abs() < T_MAX {
            return;
        }
        assert!(attempt < ATTEMPTS, "t = {t}");
    }
}

/// The canary: a comparison that ends at the first difference is found by the same measure.
#[test]
fn a_comparison_that_ends_early_is_told_apart() {
    let key = ADMIN_KEY.as_bytes().repeat(8);
    let wrong = |index: usize| {
        let mut wrong = key.clone();
        wrong[index] ^= 1;
        wrong
    };
    let (first, last) = (wrong(0), wrong(key.len() - 1));
    let nanoseconds = |given: &[u8]| {
        let began = Instant::now();
        let pairs = key.iter().zip(std::hint::black_box(given));
        assert!(pairs.into_iter().any(|(a, b)| a != b));
        began.elapsed().as_nanos() as f64
    };
    let (mut firsts, mut lasts) = (Vec::new(), Vec::new());
    for _ in 0..PAIRS {
        firsts.push(nanoseconds(&first));
        lasts.push(nanoseconds(&last));
    }

    assert!(welch(firsts, lasts).abs() > T_MAX);
}
