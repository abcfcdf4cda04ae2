package redisstore

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/redis/go-redis/v9"

	"outlook-monitor/internal/ooo"
)

// feedPage is how much news of a shard is read at a time.
const feedPage = 100

// News returns what was written to the histories after the place that from
// names, oldest first, and the place after it. An empty or foreign place is the
// present: nothing is returned but where it is. Each shard keeps about its last
// 200 entries; what was pushed out is lost to the feed, not to the histories.
func (s *Store) News(ctx context.Context, from string) ([]ooo.News, string, error) {
	places, ok := parsePlaces(from)
	if !ok {
		return s.present(ctx)
	}
	pipe := s.client.Pipeline()
	answers := make([]*redis.XMessageSliceCmd, shards)
	for shard := range answers {
		answers[shard] = pipe.XRangeN(ctx, feedKey(shard), "("+places[shard], "+", feedPage)
	}
	if _, err := pipe.Exec(ctx); err != nil {
		return nil, "", fmt.Errorf("redis: %w", err)
	}
	var news []ooo.News
	for shard, answer := range answers {
		for _, message := range answer.Val() {
			f := fieldsOf(message.Values)
			news = append(news, newsOf(f))
			places[shard] = message.ID
		}
	}
	slices.SortStableFunc(news, func(a, b ooo.News) int { return a.At.Compare(b.At) })
	return news, formatPlaces(places), s.name(ctx, news)
}

// present is the place after all that was written so far.
func (s *Store) present(ctx context.Context) ([]ooo.News, string, error) {
	pipe := s.client.Pipeline()
	answers := make([]*redis.XMessageSliceCmd, shards)
	for shard := range answers {
		answers[shard] = pipe.XRevRangeN(ctx, feedKey(shard), "+", "-", 1)
	}
	if _, err := pipe.Exec(ctx); err != nil {
		return nil, "", fmt.Errorf("redis: %w", err)
	}
	var places [shards]string
	for shard, answer := range answers {
		places[shard] = "0-0"
		if last := answer.Val(); len(last) > 0 {
			places[shard] = last[0].ID
		}
	}
	return nil, formatPlaces(places), nil
}

// Recent returns the newest n entries of all histories, oldest first, and the
// place after them.
func (s *Store) Recent(ctx context.Context, n int) ([]ooo.News, string, error) {
	_, place, err := s.present(ctx)
	if err != nil {
		return nil, "", err
	}
	places, _ := parsePlaces(place)
	pipe := s.client.Pipeline()
	answers := make([]*redis.XMessageSliceCmd, shards)
	for shard := range answers {
		answers[shard] = pipe.XRevRangeN(ctx, feedKey(shard), places[shard], "-", int64(n))
	}
	if _, err := pipe.Exec(ctx); err != nil {
		return nil, "", fmt.Errorf("redis: %w", err)
	}
	var news []ooo.News
	for _, answer := range answers {
		for _, message := range slices.Backward(answer.Val()) {
			f := fieldsOf(message.Values)
			news = append(news, newsOf(f))
		}
	}
	slices.SortStableFunc(news, func(a, b ooo.News) int { return a.At.Compare(b.At) })
	news = news[max(0, len(news)-n):]
	return news, place, s.name(ctx, news)
}

// newsOf reads an entry of a feed. Who it is about is in that of a stop alone.
func newsOf(f fields) ooo.News {
	return ooo.News{Event: eventOf(f), Key: ooo.Key(f["key"]), Address: f["addr"], Name: f["name"]}
}

// name says who the news is about, as far as there are records of them.
func (s *Store) name(ctx context.Context, news []ooo.News) error {
	if len(news) == 0 {
		return nil
	}
	pipe := s.client.Pipeline()
	asked := map[ooo.Key]*redis.SliceCmd{}
	for _, n := range news {
		if asked[n.Key] == nil {
			asked[n.Key] = pipe.HMGet(ctx, userKey(n.Key), "addr", "name")
		}
	}
	if _, err := pipe.Exec(ctx); err != nil {
		return fmt.Errorf("redis: %w", err)
	}
	for i := range news {
		values := asked[news[i].Key].Val()
		if len(values) != 2 || values[0] == nil {
			continue
		}
		news[i].Address, _ = values[0].(string)
		news[i].Name, _ = values[1].(string)
	}
	return nil
}

// Places in the feed are ids of stream entries, one for each shard: ms.sequence
// in base 36, separated by dashes.
func formatPlaces(places [shards]string) string {
	parts := make([]string, shards)
	for i, place := range places {
		ms, sequence, _ := strings.Cut(place, "-")
		parts[i] = reradix(ms, 10, 36) + "." + reradix(sequence, 10, 36)
	}
	return strings.Join(parts, "-")
}

func parsePlaces(text string) (places [shards]string, ok bool) {
	parts := strings.Split(text, "-")
	if len(parts) != shards {
		return places, false
	}
	for i, part := range parts {
		ms, sequence, ok := strings.Cut(part, ".")
		places[i] = reradix(ms, 36, 10) + "-" + reradix(sequence, 36, 10)
		if !ok || strings.HasPrefix(places[i], "-") || strings.HasSuffix(places[i], "-") {
			return places, false
		}
	}
	return places, true
}

// reradix writes a number in another base; it is empty if it is none.
func reradix(text string, from, to int) string {
	n, err := strconv.ParseUint(text, from, 63)
	if err != nil {
		return ""
	}
	return strconv.FormatUint(n, to)
}
