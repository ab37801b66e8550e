// keepers.rs - strings and a map that live to the end, each made in a function of its own.
use std::collections::HashMap;

#[inline(never)]
fn keep_strings(n: usize) -> Vec<String> {
    (0..n).map(|i| format!("string number {} of many, long enough to need the heap", i)).collect()
}

#[inline(never)]
fn keep_map(n: u64) -> HashMap<u64, Vec<u8>> {
    let mut map = HashMap::new();
    for i in 0..n {
        map.insert(i * 2654435761 % 1000003, vec![i as u8; 100]);
    }
    map
}

fn main() {
    let strings = keep_strings(5000);
    let map = keep_map(5000);
    let mut sum: u64 = map.iter().map(|(k, v)| k + v.len() as u64).sum();
    sum += strings.iter().map(|s| s.len() as u64).sum::<u64>();
    println!("{} {} {}", strings.len(), map.len(), sum);
    std::process::exit(if sum > 0 { 3 } else { 1 });
}
