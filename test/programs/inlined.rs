// SPDX-License-Identifier: Apache-2.0
//! Calls that exist only in debug information: iterators, closures, a sort, a hash map.
//! usage: inlined [SECONDS=2]
use std::collections::HashMap;
use std::hint::black_box;
use std::time::{Duration, Instant};

struct Item {
    id: u64,
    price: u64,
}

struct Cart {
    items: Vec<Item>,
}

impl Cart {
    fn total(&self, level: u64) -> u64 {
        self.items.iter().map(|item| discounted(item.price, level)).sum()
    }

    fn order(&mut self) {
        self.items.sort_by(|a, b| a.price.cmp(&b.price).then(b.id.cmp(&a.id)));
    }
}

#[inline]
fn discounted(mut price: u64, level: u64) -> u64 {
    for i in 0..level {
        price = black_box(price.wrapping_mul(97) / 100 + i);
    }
    price
}

#[inline(never)]
fn checkout(round: u64) -> u64 {
    let mut cart = Cart { items: (0..500).map(|id| Item { id, price: (id * 7919 + round) % 1000 }).collect() };
    cart.order();
    cart.total(round % 40)
}

#[inline(never)]
fn count(words: &mut HashMap<String, u64>, round: u64) -> usize {
    for i in 0..60 {
        let key = "abcdefghijklmnopqrstuvwxyz".chars().skip((i % 7) as usize).take(((round + i) % 13) as usize).collect();
        *words.entry(key).or_insert(0) += 1;
    }
    words.len()
}

fn main() {
    let seconds = std::env::args().nth(1).and_then(|text| text.parse().ok()).unwrap_or(2.0);
    let end = Instant::now() + Duration::from_secs_f64(seconds);
    let mut words = HashMap::new();
    let mut round = 0;
    while Instant::now() < end {
        for _ in 0..20 {
            black_box(checkout(round));
            black_box(count(&mut words, round));
            round += 1;
        }
    }
}
