package delivery

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"silod/im"
	"silod/sip"
)

// A household is the Source and the Sender of an owner with several devices. It records the
// refusals of devices.
type household struct {
	mu         sync.Mutex
	items      []Item
	key        int64 // of the last item
	refused    map[int64][]string
	aside      []string
	registered map[string]time.Time
	answers    map[string]func(text string) int // status of a device; 0: none
	sent       []string                         // device and text
	probes     []string
	failMarks  bool
}

func (h *household) Next(_ context.Context, _ sip.AoR, after int64, limit int) ([]Item, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	var out []Item
	for _, it := range h.items {
		it.PerDevice, it.Refused = true, h.refused[it.Key]
		for name, at := range h.registered {
			if !slices.Contains(h.refused[it.Key], name) {
				it.Devices = append(it.Devices, Device{name, at})
			}
		}
		it.Partial = len(it.Devices) < len(h.registered)
		if h.refused[it.Key] == nil {
			it.Devices = nil
		}
		if it.Key > after && len(out) < limit && (it.Devices != nil || !it.Partial) {
			out = append(out, it)
		}
	}
	return out, nil
}

func (h *household) Settle(_ sip.AoR, it *Item, out Outcome, done func(error)) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.failMarks {
		go done(errUnavailable)
		return
	}
	for _, r := range out.Refusals {
		h.refused[it.Key] = append(h.refused[it.Key], r.Device)
	}
	switch out.Verdict {
	case Delivered:
		h.items = slices.DeleteFunc(h.items, func(x Item) bool { return x.Key == it.Key })
	case Refused:
		h.aside = append(h.aside, it.CallID)
	}
	go done(nil)
}

func (h *household) Waiting(context.Context, func(sip.AoR)) error { return nil }

// Send asks the devices at once. One that does not answer costs 32 s.
func (h *household) Send(_ context.Context, _ sip.AoR, it *Item) Attempt {
	return later(func() Outcome {
		h.mu.Lock()
		var names []string
		for name := range h.registered {
			if !slices.Contains(it.Refused, name) {
				names = append(names, name)
			}
		}
		present := slices.DeleteFunc(slices.Clone(names), func(n string) bool { return slices.Contains(it.Except(), n) })
		leftOut := len(present) > 0 && len(present) < len(names)
		if len(present) == 0 {
			present = names
		}
		slices.Sort(present)
		out := Outcome{Verdict: Undelivered}
		for _, name := range present {
			h.sent = append(h.sent, name+" "+it.CallID)
			switch h.answers[name](it.CallID) {
			case 200:
				out.Verdict = Delivered
			case 0:
				out.Silent, out.Failed = true, append(out.Failed, name)
			case 415:
				out.Answered, out.Refusals = true, append(out.Refusals, Refusal{name, "415"})
			default:
				out.Answered, out.Failed = true, append(out.Failed, name)
			}
		}
		h.mu.Unlock()
		switch {
		case len(present) == 0:
			return Outcome{Verdict: Offline}
		case out.Verdict == Delivered:
			time.Sleep(10 * time.Millisecond)
			return Outcome{Verdict: Delivered}
		case out.Silent:
			time.Sleep(32 * time.Second)
		case len(out.Failed) == 0 && !leftOut:
			out.Verdict = Refused
		}
		return out
	})
}

func (h *household) Alive(_ context.Context, _ sip.AoR, names []string) bool {
	h.mu.Lock()
	h.probes = append(h.probes, names...)
	alive := slices.ContainsFunc(names, func(n string) bool { return h.answers[n]("") != 0 })
	h.mu.Unlock()
	if !alive {
		time.Sleep(aliveTimeout)
	}
	return alive
}

// inHousehold runs a test with an engine and devices of bob.
func inHousehold(t *testing.T, answers map[string]func(string) int, test func(h *household, q *Queue)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		h := &household{refused: map[int64][]string{}, registered: map[string]time.Time{}, answers: answers}
		for name := range answers {
			h.registered[name] = time.Now()
		}
		e := New(Options{})
		q := e.Queue()
		q.Serve(h, h)
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() { defer close(ended); _ = e.Run(ctx) }()
		test(h, q)
		cancel()
		<-ended
	})
}

func (h *household) put(q *Queue, texts ...string) {
	h.mu.Lock()
	for _, text := range texts {
		h.key++
		h.items = append(h.items, Item{Key: h.key, Message: im.Message{CallID: text}})
	}
	h.mu.Unlock()
	q.Wake(bob)
}

// register registers a device.
func (h *household) register(q *Queue, name string, answer func(string) int) {
	h.mu.Lock()
	h.registered[name], h.answers[name] = time.Now(), answer
	h.mu.Unlock()
	q.Wake(bob)
}

// got returns the texts that a device was sent, and forgets them.
func (h *household) got(name string) []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	var texts []string
	h.sent = slices.DeleteFunc(h.sent, func(s string) bool {
		text, ok := cutDevice(s, name)
		if ok {
			texts = append(texts, text)
		}
		return ok
	})
	return texts
}

func cutDevice(s, name string) (string, bool) {
	if len(s) > len(name) && s[:len(name)+1] == name+" " {
		return s[len(name)+1:], true
	}
	return "", false
}

func always(status int) func(string) int { return func(string) int { return status } }

// takes answers 200 to texts that begin with a prefix, and else 415.
func takes(prefix string) func(string) int {
	return func(text string) int {
		if text != "" && text[:1] == prefix {
			return 200
		}
		return 415
	}
}

func expect(t *testing.T, h *household, name string, want ...string) {
	t.Helper()
	if got := h.got(name); !slices.Equal(got, want) {
		t.Errorf("%s got %q, want %q", name, got, want)
	}
}

// A device that has refused an item is not asked again, and the item is in the order of a
// device that registers later.
func TestRefusalIsOfOneDevice(t *testing.T) {
	inHousehold(t, map[string]func(string) int{"desk": takes("t")}, func(h *household, q *Queue) {
		h.put(q, "c1", "t2", "c3")
		time.Sleep(time.Hour)
		expect(t, h, "desk", "c1", "t2", "c3")
		for range 3 {
			q.Wake(bob)
			time.Sleep(time.Second)
		}
		expect(t, h, "desk")
		if n := q.engine.Active(); n != 0 {
			t.Errorf("%d recipients are kept", n)
		}
		h.register(q, "soft", always(200))
		time.Sleep(time.Second)
		expect(t, h, "soft", "c1", "c3")
		expect(t, h, "desk")
		if len(h.items) != 0 || !slices.Equal(h.aside, []string{"c1", "c3"}) {
			t.Errorf("left %v, set aside %q", h.items, h.aside)
		}
	})
}

// An item that one device has refused, and that another one does not answer, delays no item
// that the first one accepts, and the second device gets it when it registers again.
func TestPartialItemDelaysNoOther(t *testing.T) {
	inHousehold(t, map[string]func(string) int{"desk": takes("t"), "dead": always(0)}, func(h *household, q *Queue) {
		h.put(q, "c1", "c2", "c3")
		time.Sleep(time.Minute)
		expect(t, h, "desk", "c1", "c2", "c3")
		expect(t, h, "dead", "c1") // and then it is known not to answer
		var longest time.Duration
		for i := range 200 {
			text := fmt.Sprint("t", i)
			begun := time.Now()
			h.put(q, text)
			for !slices.Contains(h.got("desk"), text) {
				time.Sleep(10 * time.Millisecond)
			}
			longest = max(longest, time.Since(begun))
			h.register(q, "desk", takes("t")) // a refresh
			time.Sleep(17 * time.Second)
		}
		if longest > aliveTimeout+time.Second {
			t.Errorf("a text waited for %v", longest)
		}
		if n := len(h.probes); n < 5 || n > 20 {
			t.Errorf("the dead device was probed %d times", n)
		}
		h.got("dead")
		h.register(q, "dead", always(200))
		time.Sleep(time.Second)
		expect(t, h, "dead", "c1", "c2", "c3")
		expect(t, h, "desk")
	})
}

// A device that answers a failure of the moment is asked again, the one that has refused is
// not.
func TestPartialItemIsRetried(t *testing.T) {
	var free atomic.Bool
	inHousehold(t, map[string]func(string) int{"desk": takes("t"), "soft": func(string) int {
		if free.Load() {
			return 200
		}
		return 486
	}}, func(h *household, q *Queue) {
		h.put(q, "c1", "c2")
		time.Sleep(time.Minute)
		expect(t, h, "desk", "c1", "c2")
		if n := len(h.got("soft")); n < 4 || n > 20 {
			t.Errorf("asked %d times in a minute", n)
		}
		free.Store(true)
		time.Sleep(10 * time.Minute)
		if got := h.got("soft"); len(h.items) != 0 || !slices.Equal(got[len(got)-2:], []string{"c1", "c2"}) {
			t.Errorf("left %v", h.items)
		}
		expect(t, h, "desk")
	})
}

// Many items for a device that always fails do not keep others from being delivered.
func TestManyPartialItems(t *testing.T) {
	inHousehold(t, map[string]func(string) int{"desk": takes("t"), "soft": always(480)}, func(h *household, q *Queue) {
		for i := range 1000 {
			h.put(q, fmt.Sprint("c", i))
		}
		time.Sleep(time.Minute)
		if n := len(h.got("desk")); n != 1000 {
			t.Errorf("asked %d times", n)
		}
		h.got("soft")
		time.Sleep(time.Hour)
		if n := len(h.got("soft")); n > 1000 {
			t.Errorf("the failing device was asked %d times in an hour", n)
		}
		h.put(q, "t")
		time.Sleep(time.Second)
		if got := h.got("desk"); !slices.Equal(got, []string{"t"}) {
			t.Errorf("got %q", got)
		}
	})
}

// A device that always fails, and registers every second, is not sent everything every second. When
// it accepts items, it gets them.
func TestFailingDeviceRegistersOften(t *testing.T) {
	inHousehold(t, map[string]func(string) int{"desk": always(415), "soft": always(500)}, func(h *household, q *Queue) {
		for i := range 100 {
			h.put(q, fmt.Sprint(i))
		}
		time.Sleep(time.Minute)
		h.got("soft")
		for range 60 {
			h.register(q, "soft", always(500))
			time.Sleep(time.Second)
		}
		if n := len(h.got("soft")); n > 60 {
			t.Errorf("the failing device was asked %d times in a minute", n)
		}
		time.Sleep(time.Minute)
		h.got("soft")
		h.register(q, "soft", always(200))
		time.Sleep(10 * time.Second)
		if got := h.got("soft"); len(got) != 100 {
			t.Errorf("it accepted %d items", len(got))
		}
	})
}

// While a refusal cannot be recorded, the device is not asked again.
func TestUnrecordedRefusal(t *testing.T) {
	inHousehold(t, map[string]func(string) int{"desk": always(415), "soft": always(480)}, func(h *household, q *Queue) {
		h.failMarks = true
		h.put(q, "c1")
		for range 10 {
			time.Sleep(time.Minute)
			q.Wake(bob)
		}
		expect(t, h, "desk", "c1")
		h.mu.Lock()
		h.failMarks = false
		h.mu.Unlock()
		time.Sleep(time.Hour)
		expect(t, h, "desk")
		if len(h.refused) != 1 {
			t.Errorf("refusals: %v", h.refused)
		}
	})
}

// A device that registers again while an item is on its way to its former address gets the
// item after that.
func TestPartialItemAfterANewRegistration(t *testing.T) {
	inHousehold(t, map[string]func(string) int{"desk": always(415), "soft": always(0)}, func(h *household, q *Queue) {
		h.put(q, "c1")
		time.Sleep(5 * time.Second)
		h.register(q, "soft", always(200))
		time.Sleep(28 * time.Second)
		expect(t, h, "soft", "c1", "c1")
		expect(t, h, "desk", "c1")
	})
}
