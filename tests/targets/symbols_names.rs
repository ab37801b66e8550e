// symbols_names.rs - Rust methods. As symbols_inline.c, it prints marks and waits for its input to end; the address is
// that of an instruction inlined into the function.
use std::arch::asm;
use std::io::Read;

extern "C" {
    static __executable_start: u8;
}

mod zoo {
    pub struct Cage<T> {
        pub inside: Vec<T>,
    }

    impl<T: Copy> Cage<T> {
        #[inline(never)]
        pub fn put(&mut self, thing: T) {
            super::mark("method");
            self.inside.push(thing);
        }
    }

    pub trait Feed {
        fn feed(&self) -> usize;
    }

    impl Feed for Cage<u32> {
        #[inline(never)]
        fn feed(&self) -> usize {
            super::mark("trait");
            self.inside.len()
        }
    }
}

// The address after the inlined code, in the function it was inlined into.
#[inline(always)]
fn mark(name: &str) {
    let here: usize;
    unsafe {
        #[cfg(target_arch = "x86_64")]
        asm!("lea {0}, [rip]", "nop", out(reg) here);
        #[cfg(target_arch = "aarch64")]
        asm!("adr {0}, .", "nop", out(reg) here);
        let start = &__executable_start as *const u8 as usize;
        println!("{} {:x}", name, here + 1 - start);
    }
}

fn main() {
    use zoo::Feed;
    let mut cage = zoo::Cage { inside: vec![1u32] };
    cage.put(2);
    assert!(cage.feed() > 0);
    println!("ready");
    let mut byte = [0u8; 1];
    while std::io::stdin().read(&mut byte).unwrap() > 0 {}
}
