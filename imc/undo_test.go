package imc_test

import (
	"context"
	"reflect"
	"testing"
	"testing/synctest"

	"silod/imc"
)

// doubtful is a Store that learns of the outcome of its writes too late while doubt is set: it
// makes them, returns an error, and undoes them.
type doubtful struct {
	*memStore
	doubt bool
}

func (st *doubtful) Apply(ctx context.Context, c imc.Change) error {
	if !st.doubt {
		return st.memStore.Apply(ctx, c)
	}
	notice := c.Notice
	c.Notice = nil
	if err := st.memStore.Apply(ctx, c); err != nil {
		return err
	}
	if notice != nil {
		notice.Seq = 0
	}
	if c.Undo != nil {
		if err := st.memStore.Apply(ctx, *c.Undo); err != nil {
			return err
		}
	}
	return imc.ErrBusy
}

func (st *doubtful) Append(ctx context.Context, e *imc.Entry, queued func()) error {
	if !st.doubt {
		return st.memStore.Append(ctx, e, queued)
	}
	queued()
	return imc.ErrBusy
}

// A request that was answered 503 and turned out to be committed has no effect after it was
// undone, neither in memory nor in the store.
func TestUndo(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		st := &doubtful{memStore: newMemStore()}
		w := newWorld(t, st, nil)
		defer func() { w.stop() }()
		w.must("alice", "chat-1", "#create")
		w.must("bob", "chat-1", "#join")
		w.must("alice", "chat-1", "#modify bob admin")
		w.must("carol", "chat-1", "#join")
		w.must("alice", "chat-1", "#invite dave")
		w.must("alice", "chat-1", "#ban troll")
		w.ignore()
		list := func() []string {
			for _, text := range []string{"#list", "#rooms", "#topic", "#history"} {
				w.must("bob", "chat-1", text)
			}
			return w.read("bob")
		}
		before := list()
		for _, c := range []struct{ from, text string }{
			{"erin", "#create chat-2"},
			{"erin", "#join"},
			{"erin", "#join chat-3"},
			{"alice", "#invite erin"},
			{"alice", "#add erin"},
			{"dave", "#accept"},
			{"dave", "#deny"},
			{"alice", "#remove carol"},
			{"alice", "#remove dave"},
			{"carol", "#exit"},
			{"alice", "#exit"},
			{"alice", "#destroy"},
			{"alice", "#modify carol admin"},
			{"alice", "#modify bob owner"},
			{"alice", "#topic tea"},
			{"alice", "#ban carol"},
			{"alice", "#ban erin"},
			{"alice", "#unban troll"},
			{"alice", "#mute carol"},
			{"alice", "#private"},
			{"bob", "hello"},
		} {
			st.doubt = true
			r := w.say(c.from, "chat-1", c.text)
			st.doubt = false
			if r.Status != 503 || len(w.inbox) != 0 {
				t.Errorf("%s: %s: %+v, sent %v", c.from, c.text, r, w.inbox)
			}
			for _, where := range []string{"memory", "the store"} {
				if after := list(); !reflect.DeepEqual(after, before) {
					t.Errorf("%s: %s: in %s it is\n%s", c.from, c.text, where, indent(after))
				}
				w.crash()
			}
			w.ignore()
		}
		w.must("erin", "chat-1", "#join")
	})
}
