// SPDX-License-Identifier: Apache-2.0

// Burns CPU for so many milliseconds, in spins, which serves calls.
package main

import (
	"fmt"
	"os"
	"strconv"
	"time"
)

//go:noinline
func spins(n int) int {
	x := 0
	for i := 0; i < n; i++ {
		x += i ^ n
	}
	return x
}

//go:noinline
func serves(n int) int {
	var room [300]int
	room[n%300] = spins(n)
	return room[(n+1)%300] + room[n%300]
}

func main() {
	milliseconds := 1000
	if len(os.Args) > 1 {
		milliseconds, _ = strconv.Atoi(os.Args[1])
	}
	end := time.Now().Add(time.Duration(milliseconds) * time.Millisecond)
	sum := 0
	for time.Now().Before(end) {
		sum += serves(1000000)
	}
	fmt.Fprintln(os.Stderr, sum)
}
