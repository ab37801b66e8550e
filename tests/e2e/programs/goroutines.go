// goroutines.go - many goroutines on several threads that allocate in C, as a Go program with a C library does.
package main

/*
#include <stdlib.h>
#include <string.h>

static void *volatile seen;

__attribute__((noinline)) static void *
keep_in_c(size_t size)
{
	return memset(malloc(size), 'x', size);
}

__attribute__((noinline)) static void
give_back_in_c(size_t size)
{
	seen = malloc(size);
	free(seen);
}

extern void calledFromC(void);

__attribute__((noinline)) static void
call_go(void)
{
	give_back_in_c(100);
	calledFromC();
}
*/
import "C"

import (
	"fmt"
	"os"
	"runtime"
	"sync"
	"unsafe"
)

//export calledFromC
func calledFromC() {
	C.give_back_in_c(200)
}

// A frame that Go has to grow its stack for, so that goroutines move.
func deep(n int) int {
	var room [128]byte
	room[n%128] = byte(n)
	if n == 0 {
		C.give_back_in_c(300)
		return 0
	}
	return deep(n-1) + int(room[(n+1)%128])
}

func main() {
	kept := make([][]unsafe.Pointer, 64)
	var all sync.WaitGroup
	for g := range kept {
		all.Add(1)
		go func(g int) {
			defer all.Done()
			for i := 0; i < 200; i++ {
				kept[g] = append(kept[g], C.keep_in_c(1000))
				C.call_go()
				deep(i)
				if i%50 == 0 {
					runtime.GC()
				}
			}
		}(g)
	}
	all.Wait()
	// Go turns a fault into a panic, by a handler on a stack of its own.
	func() {
		defer func() { fmt.Println("recovered:", recover()) }()
		var nothing *int
		*nothing = 1
	}()
	fmt.Println(len(kept), "goroutines kept", len(kept)*len(kept[0]), "blocks")
	os.Exit(5)
}
