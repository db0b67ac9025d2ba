package imc

import (
	"context"
	"fmt"

	"silod/delivery"
	"silod/sip"
)

var _ delivery.Divided = (*Service)(nil)

// Parts returns a Reader for each room of which an owner has not got all entries.
func (s *Service) Parts(owner sip.AoR) []delivery.Reader {
	rooms := s.roomsOf(owner)
	if len(rooms) < 2 {
		return nil
	}
	var parts []delivery.Reader
	for _, r := range rooms {
		if r.hasUnread(owner) {
			parts = append(parts, roomReader{s, r})
		}
	}
	if len(parts) < 2 {
		return nil
	}
	return parts
}

// hasUnread reports whether a member has not got all entries of a room.
func (r *room) hasUnread(user sip.AoR) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	m := r.find(user)
	return m.joined() && m.Cursor < r.last
}

// A roomReader reads the entries of one room.
type roomReader struct {
	rooms *Service
	room  *room
}

// Next returns the oldest entries of the room that owner has not got yet.
func (r roomReader) Next(ctx context.Context, owner sip.AoR, after int64, limit int) ([]delivery.Item, error) {
	may, err := r.rooms.gets(ctx, r.room, owner)
	if err != nil || !may {
		return nil, err
	}
	items, err := r.rooms.appendUnread(ctx, r.room, owner, after, limit, nil)
	if err != nil {
		return nil, fmt.Errorf("read the log of %s: %w", r.room.name, err)
	}
	return items, nil
}
