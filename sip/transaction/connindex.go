package transaction

import "sync"

// A connIndex holds the client transactions over each connection, so that its end costs
// nothing for the transactions of others. Those over UDP are not in it.
type connIndex struct {
	shards [clientShards]connShard
}

// A connShard holds the lists of some connections. Its lock guards them, and the links of
// their transactions.
type connShard struct {
	mu    sync.Mutex
	first map[uint64]*ClientTx // heads of lists, by the number of the connection
}

// A connLinks is the place of a transaction in the list of its connection.
type connLinks struct{ next, previous *ClientTx }

func (x *connIndex) shard(conn uint64) *connShard { return &x.shards[conn%clientShards] }

// add adds a transaction to the list of its connection, if it has one.
func (x *connIndex) add(tx *ClientTx) {
	conn := tx.Flow.Conn
	if conn == 0 {
		return
	}
	s := x.shard(conn)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.first == nil {
		s.first = make(map[uint64]*ClientTx)
	}
	next := s.first[conn]
	tx.conn.next = next
	if next != nil {
		next.conn.previous = tx
	}
	s.first[conn] = tx
}

// remove removes a transaction from the list of its connection, if it is in one.
func (x *connIndex) remove(tx *ClientTx) {
	conn := tx.Flow.Conn
	if conn == 0 {
		return
	}
	s := x.shard(conn)
	s.mu.Lock()
	defer s.mu.Unlock()
	next, previous := tx.conn.next, tx.conn.previous
	if previous == nil && s.first[conn] != tx {
		return // take was first
	}
	tx.conn = connLinks{}
	if next != nil {
		next.conn.previous = previous
	}
	switch {
	case previous != nil:
		previous.conn.next = next
	case next != nil:
		s.first[conn] = next
	default:
		delete(s.first, conn)
	}
}

// take removes the list of a connection and returns its transactions. They are ended by the
// caller, without the lock.
func (x *connIndex) take(conn uint64) (txs []*ClientTx) {
	s := x.shard(conn)
	s.mu.Lock()
	defer s.mu.Unlock()
	tx := s.first[conn]
	delete(s.first, conn)
	for tx != nil {
		txs = append(txs, tx)
		next := tx.conn.next
		tx.conn = connLinks{}
		tx = next
	}
	return txs
}
