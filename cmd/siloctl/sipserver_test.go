package main

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
)

// A sipServer is a small server for send and listen, over UDP and TCP on one port: it
// accepts all registrations, sends messages to registered users, stores them for others,
// and refuses those for the user nobody.
type sipServer struct {
	pc net.PacketConn
	l  net.Listener
	wg sync.WaitGroup

	mu     sync.Mutex
	conns  []net.Conn
	users  map[string]func(string) // by registered user: sends a message to the user
	stored map[string][]string     // MESSAGEs by user
	waits  map[string]func(string) // by Via of a forwarded request: called with the status of its response
	n      int
}

func newSIPServer() (*sipServer, error) {
	s := &sipServer{users: map[string]func(string){}, stored: map[string][]string{}, waits: map[string]func(string){}}
	for range 20 { // until a port is free for both
		pc, err := net.ListenPacket("udp4", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		l, err := net.Listen("tcp4", pc.LocalAddr().String())
		if err != nil {
			pc.Close()
			continue
		}
		s.pc, s.l = pc, l
		s.wg.Go(s.serveUDP)
		s.wg.Go(s.serveTCP)
		return s, nil
	}
	return nil, fmt.Errorf("no port is free for UDP and TCP")
}

func (s *sipServer) addr() string { return s.pc.LocalAddr().String() }

func (s *sipServer) close() {
	s.pc.Close()
	s.l.Close()
	s.mu.Lock()
	for _, c := range s.conns {
		c.Close()
	}
	s.mu.Unlock()
	s.wg.Wait()
}

func (s *sipServer) serveUDP() {
	buf := make([]byte, 1<<16)
	for {
		n, from, err := s.pc.ReadFrom(buf)
		if err != nil {
			return
		}
		s.handle(string(buf[:n]), func(m string) { s.pc.WriteTo([]byte(m), from) })
	}
}

func (s *sipServer) serveTCP() {
	for {
		c, err := s.l.Accept()
		if err != nil {
			return
		}
		s.mu.Lock()
		s.conns = append(s.conns, c)
		s.mu.Unlock()
		s.wg.Go(func() {
			r := bufio.NewReader(c)
			for {
				m, err := readMessage(r)
				if err != nil {
					return
				}
				s.handle(m, func(m string) { c.Write([]byte(m)) })
			}
		})
	}
}

// readMessage reads one message with Content-Length from a stream.
func readMessage(r *bufio.Reader) (string, error) {
	var m strings.Builder
	for !strings.HasSuffix(m.String(), "\r\n\r\n") {
		line, err := r.ReadString('\n')
		if err != nil {
			return "", err
		}
		m.WriteString(line)
	}
	n, err := strconv.Atoi(header(m.String(), "Content-Length"))
	if err != nil {
		return "", err
	}
	_, err = io.CopyN(&m, r, int64(n))
	return m.String(), err
}

func header(m, name string) string {
	for line := range strings.SplitSeq(m, "\r\n") {
		if v, ok := strings.CutPrefix(line, name+": "); ok {
			return v
		}
	}
	return ""
}

func user(m, name string) string {
	_, v, _ := strings.Cut(header(m, name), "sip:")
	v, _, _ = strings.Cut(v, "@")
	return v
}

func answer(m, status string, more ...string) string {
	lines := []string{"SIP/2.0 " + status}
	for _, name := range []string{"Via", "From", "To", "Call-ID", "CSeq"} {
		lines = append(lines, name+": "+header(m, name))
	}
	return strings.Join(append(append(lines, more...), "Content-Length: 0", "", ""), "\r\n")
}

func (s *sipServer) handle(m string, back func(string)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch to := user(m, "To"); {
	case strings.HasPrefix(m, "SIP/2.0 "):
		branch := header(m, "Via")
		if done := s.waits[branch]; done != nil {
			delete(s.waits, branch)
			status, _, _ := strings.Cut(m[len("SIP/2.0 "):], "\r\n")
			done(status)
		}
	case strings.HasPrefix(m, "REGISTER "):
		if user(m, "To") == "locked" && header(m, "Authorization") == "" {
			back(answer(m, "401 Unauthorized", `WWW-Authenticate: Digest realm="r", nonce="n", qop="auth"`))
			return
		}
		expires := header(m, "Expires")
		back(answer(m, "200 OK", "Expires: "+expires))
		if delete(s.users, to); expires != "0" {
			s.users[to] = back
			for _, old := range s.stored[to] {
				s.forward(old, back, func(string) {})
			}
			delete(s.stored, to)
		}
	case to == "nobody":
		back(answer(m, "404 Not Found"))
	case s.users[to] != nil:
		s.forward(m, s.users[to], func(status string) { back(answer(m, status)) })
	default:
		s.stored[to] = append(s.stored[to], m)
		back(answer(m, "202 Accepted"))
	}
}

// forward sends a MESSAGE with a branch of its own.
func (s *sipServer) forward(m string, to func(string), done func(status string)) {
	s.n++
	via := fmt.Sprintf("SIP/2.0/UDP %s;branch=z9hG4bKcarried%d", s.addr(), s.n)
	s.waits[via] = done
	to(strings.Replace(m, "Via: "+header(m, "Via"), "Via: "+via, 1))
}
