package proxy

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"silod/im"
	"silod/registrar"
	"silod/sip"
	"silod/sip/transaction"
)

// A directory is a Directory that a test changes.
type directory struct {
	mu      sync.Mutex
	devices []Device
}

func (d *directory) Devices(sip.AoR) []Device {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.devices)
}

// A following is a Fork to bob that follows a directory.
type following struct {
	*directory
	t     *testing.T
	proxy *Proxy
	fork  *Fork
}

// follow starts a Fork to devices.
func follow(t *testing.T, p *Proxy, opt ForkOptions, devices ...Device) *following {
	t.Helper()
	f := &following{&directory{devices: devices}, t, p, nil}
	opt.Recipient, opt.MaxForwards, opt.Directory, opt.Seen = user("bob"), 70, f, p.Changes(user("bob"))
	f.fork = p.Fork(t.Context(), hello, devices, opt)
	t.Cleanup(f.fork.Abandon)
	return f
}

// register replaces the devices and waits for patience, or until the Fork ends.
func (f *following) register(patience time.Duration, devices ...Device) Outcome {
	f.mu.Lock()
	f.devices = devices
	f.mu.Unlock()
	f.proxy.Registered(user("bob"))
	return f.fork.Wait(f.t.Context(), patience)
}

// bound returns a binding with a RUID.
func bound(ruid string) *registrar.Binding { return &registrar.Binding{RUID: ruid, CallID: "1"} }

// to returns the device of an instance with a route to each server, the newest first.
func (p *Proxy) to(instance string, servers ...*scripted) Device {
	d := Device{Name: instance}
	for _, s := range servers {
		contact := "sip:b@" + s.addr.String()
		d.Routes = append(d.Routes, Route{
			URI: contact, Binding: bound(contact),
			Flow: sip.Flow{Transport: sip.UDP, Local: p.transport.Endpoints()[0].Addr, Remote: s.addr},
		})
	}
	return d
}

// sentTo checks in how many transactions a server has received the message.
func (s *scripted) sentTo(t *testing.T, name string, want int) {
	t.Helper()
	for end := time.Now().Add(5 * time.Second); s.transactions() < want && time.Now().Before(end); {
		time.Sleep(10 * time.Millisecond)
	}
	if got := s.transactions(); got != want {
		t.Errorf("%s: %d transactions, want %d", name, got, want)
	}
}

const short = 100 * time.Millisecond // less than graceTime

// A refresh sends nothing, nor does one of another flow of the device.
func TestRefreshSendsNoCopy(t *testing.T) {
	t.Parallel()
	p := fixture(t, nil)
	slow, other := overUDP(t, 0, 0), overUDP(t, 200, 0)
	f := follow(t, p, ForkOptions{}, p.to("A", slow, other))
	f.register(short, p.to("A", slow, other))
	out := f.register(short, p.to("A", other, slow))
	slow.sentTo(t, "the slow device", 1)
	other.sentTo(t, "its other flow", 0)
	if out.Open != 1 {
		t.Errorf("%+v", out)
	}
	again := p.to("A", slow, other)
	again.Routes[0].Binding = &registrar.Binding{RUID: again.Routes[0].ruid(), CallID: "2"}
	sent := slow.received.Load()
	f.register(short, again)
	slow.sentTo(t, "after a restart", 1)
	if slow.received.Load() == sent {
		t.Error("nothing is sent after a restart")
	}
}

// A device that has just been sent the message gets a moment to answer, and if it does, the
// message is not sent to its new address.
func TestAnswerUnderWayCounts(t *testing.T) {
	t.Parallel()
	p := fixture(t, nil)
	old, now := overUDP(t, 200, 20*time.Millisecond), overUDP(t, 200, 0)
	f := follow(t, p, ForkOptions{}, p.to("A", old))
	out := f.register(time.Second, p.to("A", now))
	if !out.Accepted() || out.Open != 0 {
		t.Errorf("%+v", out)
	}
	now.sentTo(t, "the new address", 0)

	// The old flow still counts when the new one was tried.
	old, now = overUDP(t, 200, 2*time.Second), overUDP(t, 0, 0)
	f = follow(t, p, ForkOptions{}, p.to("A", old))
	out = f.register(4*time.Second, p.to("A", now))
	if !out.Accepted() || out.Open != 0 {
		t.Errorf("an answer over the old flow: %+v", out)
	}
	if n := old.received.Load(); n > 2 || now.received.Load() == 0 { // else it would be 3
		t.Errorf("the old address got %d copies, the new one %d", n, now.received.Load())
	}
}

// A device that has refused the message is not asked again, and a device whose bindings are
// gone does not keep the Fork open.
func TestDevicesThatAnswerOrLeave(t *testing.T) {
	t.Parallel()
	p := fixture(t, nil)
	busy, silent, late, back := overUDP(t, 486, 0), overUDP(t, 0, 0), overUDP(t, 200, 0), overUDP(t, 200, 0)
	f := follow(t, p, ForkOptions{}, p.to("A", busy), p.to("B", silent))
	if out := f.fork.Wait(t.Context(), 5*short); out.Open != 1 {
		t.Fatalf("%+v", out)
	}
	out := f.register(time.Second, p.to("A", back))
	back.sentTo(t, "a device that has answered 486", 0)
	if out.Open != 0 || out.Unreached != 1 || !slices.Equal(out.Failures, []int{486}) {
		t.Errorf("%+v", out)
	}

	f = follow(t, p, ForkOptions{}, p.to("B", silent))
	if out = f.register(time.Second, p.to("B", silent), p.to("C", late)); !out.Accepted() || out.Open != 1 {
		t.Errorf("a new device: %+v", out)
	}
	// After a 6xx there are no new branches (RFC 3261 section 16.7, step 5).
	decline := overUDP(t, 603, 0)
	f = follow(t, p, ForkOptions{StopAt6xx: true}, p.to("A", decline), p.to("B", silent))
	f.fork.Wait(t.Context(), short)
	f.register(short, p.to("B", silent), p.to("C", late))
	late.sentTo(t, "a device that comes after a 603", 1) // of the Fork before
}

// A REGISTER between the look for devices and the Fork is not missed.
func TestRegisterBeforeFork(t *testing.T) {
	t.Parallel()
	p := fixture(t, nil)
	dead, now := overUDP(t, 0, 0), overUDP(t, 200, 0)
	dir := &directory{devices: []Device{p.to("A", now)}}
	seen := p.Changes(user("bob"))
	p.Registered(user("bob"))
	for _, tc := range []struct {
		devices []Device
		want    Outcome
	}{{[]Device{p.to("A", now)}, Outcome{}}, {nil, Outcome{Unreached: 1}}} {
		dir.devices = tc.devices
		k := p.Fork(t.Context(), hello, []Device{p.to("A", dead)}, ForkOptions{Recipient: user("bob"), Directory: dir, Seen: seen})
		out := k.Wait(t.Context(), time.Second)
		k.Abandon()
		if out.Open != 0 || out.Unreached != tc.want.Unreached || out.Accepted() != (tc.devices != nil) {
			t.Errorf("%+v", out)
		}
	}
	dead.sentTo(t, "the old address", 0)
}

// A client that registers again and again does not keep a Fork busy.
func TestFollowingIsBounded(t *testing.T) {
	t.Parallel()
	p := fixture(t, nil)
	silent := overUDP(t, 0, 0)
	f := follow(t, p, ForkOptions{}, p.to("A", silent))
	time.Sleep(2 * graceTime)
	for i := range 5 * maxFollowed {
		d, fresh := p.to("A", silent), p.to(fmt.Sprint("B", i), silent)
		d.Routes[0].URI, d.Routes[0].Binding = fmt.Sprint("sip:", i, "@h"), bound(fmt.Sprint("A", i))
		fresh.Routes[0].Binding = bound(fmt.Sprint("B", i))
		f.register(time.Millisecond, d, fresh)
	}
	if n := silent.received.Load(); n > 2*maxFollowed || len(f.fork.attempts) > 2*maxFollowed || len(f.fork.sent) > 3*maxBreadth {
		t.Errorf("%d packets, %d attempts, %d transactions", n, len(f.fork.attempts), len(f.fork.sent))
	}
}

// Messages to one user keep their order when they follow it to a new address.
func TestForksFollowInOrder(t *testing.T) {
	t.Parallel()
	p := fixture(t, nil)
	dead, now := overUDP(t, 0, 0), overUDP(t, 0, 0)
	dir := &directory{devices: []Device{p.to("A", dead)}}
	const n = 50
	var done sync.WaitGroup
	for i := range n {
		m := &im.Message{From: hello.From, To: hello.To, CallID: fmt.Sprint(i), CSeq: uint32(i + 1)}
		k := p.Fork(t.Context(), m, dir.devices, ForkOptions{Recipient: user("bob"), Directory: dir, Seen: p.Changes(user("bob"))})
		done.Go(func() {
			k.Wait(t.Context(), time.Second)
			k.Abandon()
		})
	}
	time.Sleep(2 * graceTime)
	dir.mu.Lock()
	dir.devices = []Device{p.to("A", now)}
	dir.mu.Unlock()
	p.Registered(user("bob"))
	done.Wait()
	var want []string
	for i := range n {
		want = append(want, fmt.Sprint(i))
	}
	if got := now.calls(); len(got) < n || !slices.Equal(got[:n], want) {
		t.Errorf("got %q", got)
	}
	for i := range p.forks.buckets {
		if p.forks.buckets[i].oldest != nil || p.forks.buckets[i].newest != nil {
			t.Error("a Fork is left in the index")
		}
	}
}

// At most maxUnheard messages are on their way to one address that does not answer, and none
// follow when it has not answered until Timer F. maxBreadth limits those to all addresses.
func TestAdmission(t *testing.T) {
	t.Parallel()
	p := fixture(t, nil)
	contacts := func(s *scripted, n int) []Device {
		var ds []Device
		for i := range n {
			d := p.to("", s)
			d.Routes[0].URI = fmt.Sprintf("sip:v%d@%s", i, s.addr)
			d.Name, d.Routes[0].Binding = d.Routes[0].URI, bound(d.Routes[0].URI)
			ds = append(ds, d)
		}
		return ds
	}
	victim := overUDP(t, 0, 0)
	k := p.Fork(t.Context(), hello, contacts(victim, 1000), ForkOptions{})
	out := k.Wait(t.Context(), time.Second)
	if n := victim.received.Load(); out.Open != 1000 || n < maxUnheard || n > 3*maxUnheard {
		t.Errorf("%d packets, %+v", n, out)
	}
	first := k.sent[0].tx
	first.Abandon()
	k.handleResult(transaction.Result{Tx: first, Err: transaction.ErrTimeout})
	if out = k.out; out.Unreached != 1000-maxUnheard+1 || out.Open != maxUnheard-1 {
		t.Errorf("after Timer F: %+v", out)
	}
	k.Abandon()
	hub := overUDP(t, 486, 0)
	out = p.Fork(t.Context(), hello, contacts(hub, 1000), ForkOptions{}).Wait(t.Context(), 5*time.Second)
	if n := hub.received.Load(); out.Open != 0 || len(out.Failures) != 1000 {
		t.Errorf("a host that answers: %d packets, %+v", n, out)
	}
	for breadth, want := range map[int]int{0: maxBreadth, 3: 3, 1000: maxBreadth} {
		var ds []Device
		all := overUDP(t, 0, 0)
		for i := range 100 {
			ds = append(ds, p.to(fmt.Sprint("instance ", i), all))
			ds[i].Routes[0].Binding = bound(fmt.Sprint(i))
		}
		k := p.Fork(t.Context(), hello, ds, ForkOptions{Breadth: breadth})
		k.Wait(t.Context(), short)
		k.Abandon()
		all.sentTo(t, fmt.Sprint("breadth ", breadth), want)
	}
}

// A message that is too large for UDP reaches many devices in the time of one, although they
// do not accept connections, and that does not delay the others.
func TestDialInParallel(t *testing.T) {
	t.Parallel()
	p := fixture(t, nil)
	p.Configure(Settings{LargeOverUDP: true})
	large := &im.Message{From: hello.From, To: hello.To, CallID: "1", CSeq: 1, Body: make([]byte, 1500)}
	var ds []Device
	for i := range 12 {
		d := p.to(fmt.Sprint(i), hanging(t))
		d.Routes[0].Binding = bound(d.Name)
		ds = append(ds, d)
	}
	start := time.Now()
	k := p.Fork(t.Context(), large, ds, ForkOptions{})
	if took := time.Since(start); took > time.Second {
		t.Errorf("Fork waited for %v", took)
	}
	out := k.Wait(t.Context(), 2*time.Second)
	if sent := len(k.sent); sent != len(ds) || out.Open != len(ds) {
		t.Errorf("after 2 s %d of %d were sent: %+v", sent, len(ds), out)
	}
	k.Abandon()

	k = p.Fork(t.Context(), hello, []Device{p.Elsewhere("sip:b@"+hanging(t).addr.String()+";transport=tcp", nil), p.to("A", overUDP(t, 200, 0))}, ForkOptions{})
	if out := k.Wait(t.Context(), time.Second); !out.Accepted() {
		t.Errorf("beside a server that hangs: %+v", out)
	}
	k.Abandon()
}
