package silo

import (
	"context"
	"sync"

	"silod/sip"
)

// A mutex is a lock. Waiting for it ends with a context.
type mutex chan struct{}

func newMutex() mutex { return make(mutex, 1) }

// lock locks m, or returns ctx.Err() if ctx ends first.
func (m mutex) lock(ctx context.Context) error {
	select {
	case m <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (m mutex) unlock() { <-m }

// mailboxLocks hold a lock for each AoR in use, under which its mailbox is counted, or the user
// looked up.
type mailboxLocks struct {
	mu    sync.Mutex
	locks map[sip.AoR]*mailboxLock
}

type mailboxLock struct {
	mutex mutex
	users int // goroutines that hold the lock or wait for it
}

// lock locks an owner's mailbox. The caller calls unlock once. If ctx ends first, the
// error is ctx.Err().
func (l *mailboxLocks) lock(ctx context.Context, owner sip.AoR) (unlock func(), err error) {
	l.mu.Lock()
	b := l.locks[owner]
	if b == nil {
		if l.locks == nil {
			l.locks = make(map[sip.AoR]*mailboxLock)
		}
		b = &mailboxLock{mutex: newMutex()}
		l.locks[owner] = b
	}
	b.users++
	l.mu.Unlock()
	if err := b.mutex.lock(ctx); err != nil {
		l.release(owner, b)
		return nil, err
	}
	return func() {
		b.mutex.unlock()
		l.release(owner, b)
	}, nil
}

// release removes a lock that has no users left.
func (l *mailboxLocks) release(owner sip.AoR, b *mailboxLock) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if b.users--; b.users == 0 {
		delete(l.locks, owner)
	}
}
