// SPDX-License-Identifier: Apache-2.0

// stacks: goroutines that call, recover from panics, and make their stacks grow, ROUNDS times each.
package main

import (
	"fmt"
	"os"
	"runtime"
	"strconv"
	"sync"
)

//go:noinline
func leaf(n int) int { return n * 3 }

//go:noinline
func grows(depth int) int {
	var room [256]byte
	room[depth%256] = byte(depth)
	if depth == 0 {
		return leaf(int(room[0]))
	}
	return grows(depth-1) + int(room[depth%256])
}

//go:noinline
func panics(n int) { if n >= 0 { panic(n) } }

//go:noinline
func recovers(n int) (err error) {
	defer func() { if r := recover(); r != nil { err = fmt.Errorf("%v", r) } }()
	panics(n)
	return nil
}

func main() {
	rounds, _ := strconv.Atoi(os.Args[1])
	var group sync.WaitGroup
	for i := 0; i < 20; i++ {
		group.Add(1)
		go func() {
			defer group.Done()
			for j := 0; j < rounds; j++ {
				leaf(j)
				recovers(j)
				if j%8 == 0 { runtime.Gosched() }
			}
			grows(200)
		}()
	}
	group.Wait()
	fmt.Println("done")
}
