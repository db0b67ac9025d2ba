//go:build bench

// Command floor answers SIP requests over UDP with 403, without transactions and
// goroutines. The benchmark compares silod with it in mode raw.
package main

import (
	"fmt"
	"net"
	"os"

	"silod/sip/transport"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "floor:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) != 1 {
		return fmt.Errorf("usage: floor ADDRESS:PORT")
	}
	addr, err := net.ResolveUDPAddr("udp", args[0])
	if err != nil {
		return err
	}
	conn, err := net.ListenUDP("udp", addr)
	if err != nil {
		return err
	}
	return transport.Refuse(conn, 403)
}
