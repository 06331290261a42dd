use std::collections::HashMap;
trait Shape { fn area(&self) -> f64; }
struct Circle(f64); struct Square(f64);
impl Shape for Circle { fn area(&self) -> f64 { 3.14 * self.0 * self.0 } }
impl Shape for Square { fn area(&self) -> f64 { self.0 * self.0 } }
mod deep { pub mod er { #[inline(never)] pub fn sum(v: &[u64]) -> u64 { v.iter().map(|x| x.wrapping_mul(31)).filter(|x| x % 3 == 0).sum() } } }
#[inline(never)] fn generic<T: Ord + Clone>(v: &mut Vec<T>) -> Option<T> { v.sort(); v.dedup(); v.last().cloned() }
fn main() {
    let n = std::env::args().count() as u64;
    let mut v: Vec<u64> = (0..n * 100).map(|x| x * 7919 % 101).collect();
    let mut m: HashMap<String, u64> = HashMap::new();
    for x in &v { *m.entry(format!("k{}", x % 7)).or_insert(0) += x; }
    let shapes: Vec<Box<dyn Shape>> = vec![Box::new(Circle(n as f64)), Box::new(Square(2.0))];
    let a: f64 = shapes.iter().map(|s| s.area()).sum();
    println!("{} {:?} {} {}", deep::er::sum(&v), generic(&mut v), m.len(), a);
}
