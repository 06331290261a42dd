// SPDX-License-Identifier: Apache-2.0
//! Rust: generics, closures behind trait objects, a thread. usage: crab [SECONDS=2]
use std::hint::black_box;
use std::time::{Duration, Instant};

trait Step {
    fn step(&self, x: u64) -> u64;
}

struct Mixer<const N: usize>;

impl<const N: usize> Step for Mixer<N> {
    #[inline(never)]
    fn step(&self, x: u64) -> u64 {
        let mut pad = [0u8; 64];
        pad[0] = x as u8;
        black_box(&mut pad);
        black_box(grind(x ^ N as u64)) + u64::from(pad[0])
    }
}

#[inline(never)]
fn grind(mut x: u64) -> u64 {
    for i in 0..3000u64 {
        x = x.wrapping_mul(6364136223846793005).wrapping_add(i);
    }
    black_box(x >> 8)
}

#[inline(never)]
fn generic<T: Step>(value: &T, x: u64) -> u64 {
    black_box(value.step(x)).wrapping_add(1)
}

#[inline(never)]
fn through_closure(function: &dyn Fn(u64) -> u64, x: u64) -> u64 {
    black_box(function(x)).wrapping_add(2)
}

#[inline(never)]
fn spend(seconds: f64) -> u64 {
    let end = Instant::now() + Duration::from_secs_f64(seconds);
    let mut x = 1u64;
    let closure: &dyn Fn(u64) -> u64 = &|y| black_box(generic(&Mixer::<9>, y)).wrapping_add(3);
    while Instant::now() < end {
        for _ in 0..50 {
            x ^= generic(&Mixer::<7>, x);
            x ^= through_closure(black_box(closure), x);
        }
    }
    x
}

fn main() {
    let seconds = std::env::args().nth(1).and_then(|a| a.parse().ok()).unwrap_or(2.0);
    let thread = std::thread::Builder::new().name("crab-worker".into()).spawn(move || black_box(spend(seconds)));
    black_box(thread.unwrap().join().unwrap());
}
