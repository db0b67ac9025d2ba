package imc

import "silod/mi"

// Stats are the counters of a Service. Counters describes each of them.
type Stats struct {
	Messages          mi.Counter
	Notices           mi.Counter
	Commands          mi.Counter
	Refusals          mi.Counter
	Dropped           mi.Counter
	Deliveries        mi.Counter
	DeliveriesRefused mi.Counter
	Answers           mi.Counter
	AnswersFailed     mi.Counter
	StoreErrors       mi.Counter
}

// Counters returns the statistics of the group imc.
func (s *Service) Counters() []mi.Stat {
	return []mi.Stat{
		{Name: "active_rooms", Help: "Rooms that exist.", Gauge: s.activeRooms},
		{Name: "room_members", Help: "Users in at least one room.", Gauge: s.userCount},
		{Name: "messages", Help: "Messages accepted into rooms.", Counter: &s.stats.Messages},
		{Name: "notices", Help: "Messages from rooms to all their members.", Counter: &s.stats.Notices},
		{Name: "commands", Help: "Commands carried out.", Counter: &s.stats.Commands},
		{Name: "refused_requests", Help: "Messages and commands answered 500.", Counter: &s.stats.Refusals},
		{Name: "dropped_requests", Help: "Notifications, and messages between rooms, answered 200 and dropped.", Counter: &s.stats.Dropped},
		{Name: "deliveries", Help: "Room messages accepted by members' devices.", Counter: &s.stats.Deliveries},
		{Name: "refused_deliveries", Help: "Room messages refused by members' devices.", Counter: &s.stats.DeliveriesRefused},
		{Name: "answers", Help: "Messages from rooms to one user.", Counter: &s.stats.Answers},
		{Name: "failed_answers", Help: "Messages to one user that were refused, for example because the mailbox is full.", Counter: &s.stats.AnswersFailed},
		{Name: "waiting_answers", Help: "Messages to one user that are being stored.", Gauge: s.sending.Load},
		{Name: "store_errors", Help: "Failures of the store.", Counter: &s.stats.StoreErrors},
	}
}

// activeRooms returns the number of rooms that exist for users.
func (s *Service) activeRooms() int64 {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return int64(s.active)
}

// userCount returns the number of users in at least one room.
func (s *Service) userCount() int64 {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return int64(len(s.users))
}
