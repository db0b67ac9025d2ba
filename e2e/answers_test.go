package e2e_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"silod/e2e/phone"
)

// TestKilledWhileAnswering kills the daemon repeatedly while rooms answer commands of users that
// are offline, and of users that are online. Each command that got a 200 has its answer.
func TestKilledWhileAnswering(t *testing.T) {
	t.Parallel()
	d := serve(t)
	const users = 6
	var callers [users]caller
	for i := range callers {
		c := &callers[i]
		c.name, c.room, c.answers = fmt.Sprint("caller", i), uri(fmt.Sprint("chat-", i)), make(map[string]string)
		c.phone = d.user(t, []string{"udp", "tcp"}[i%2], c.name, nil)
		c.say(t, c.room, "#create", "create-"+c.name)
	}
	for i := range users / 2 {
		d.online(t, "udp", callers[i].name, callers[i].take)
	}
	stop := make(chan struct{})
	var calling sync.WaitGroup
	for i := range callers {
		calling.Go(func() { callers[i].call(t.Context(), stop) })
	}
	d.killRepeatedly(t)
	close(stop)
	calling.Wait()
	for i := users / 2; i < users; i++ {
		d.online(t, "tcp", callers[i].name, callers[i].take)
	}
	for i := range callers {
		callers[i].check(t)
	}
}

// A caller sends commands to a room and remembers which were answered 200, and the answers.
type caller struct {
	name  string
	room  string // that it owns
	phone *phone.Phone

	mu           sync.Mutex
	acknowledged []string          // Call-IDs of commands
	answers      map[string]string // Call-ID by that of the command
}

// say sends a command that must get a 200.
func (c *caller) say(t *testing.T, room, text, callID string) {
	t.Helper()
	if err := c.do(t.Context(), room, text, callID); err != nil {
		t.Fatal(err)
	}
}

func (c *caller) do(ctx context.Context, room, text, callID string) error {
	res, err := c.phone.Do(ctx, phone.Request{
		Method: "MESSAGE", To: room, CallID: callID, Body: []byte(text),
		Headers: phone.Headers{{Name: "Content-Type", Value: "text/plain"}},
	})
	if err == nil && !res.OK() {
		err = fmt.Errorf("%s is answered %v", text, res)
	}
	return err
}

// call sends commands until stop is closed. It does not repeat one that got no 200.
func (c *caller) call(ctx context.Context, stop chan struct{}) {
	for n := 0; ; n++ {
		select {
		case <-stop:
			return
		default:
		}
		id := fmt.Sprintf("%s-%d", c.name, n)
		if c.do(ctx, c.room, "#list", id) != nil {
			time.Sleep(10 * time.Millisecond) // the daemon may be down
			continue
		}
		c.mu.Lock()
		c.acknowledged = append(c.acknowledged, id)
		c.mu.Unlock()
	}
}

// take receives an answer.
func (c *caller) take(m *phone.Message) phone.Answer {
	c.mu.Lock()
	defer c.mu.Unlock()
	command := m.Headers.Get("In-Reply-To")
	c.answers[command] = m.CallID
	return phone.Answer{}
}

// check waits until all answers have come.
func (c *caller) check(t *testing.T) {
	t.Helper()
	eventually(t, func() error {
		c.mu.Lock()
		defer c.mu.Unlock()
		for _, id := range c.acknowledged {
			if c.answers[id] == "" {
				return fmt.Errorf("%s has no answer to %s, one of %d commands", c.name, id, len(c.acknowledged))
			}
		}
		return nil
	})
	t.Logf("%s: %d commands, %d answers", c.name, len(c.acknowledged), len(c.answers))
}
