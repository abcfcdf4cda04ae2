package redistest_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"outlook-monitor/internal/redistest"
)

func eventually(t *testing.T, what string, done func() error) {
	t.Helper()
	var err error
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		if err = done(); err == nil {
			return
		}
	}
	t.Fatalf("%s: %v", what, err)
}

func TestDataSurviveARestartAndNotAnEmptyOne(t *testing.T) {
	s := redistest.Start(t)
	client := redis.NewClient(&redis.Options{Addr: s.Addr()})
	defer client.Close()
	if err := client.Set(t.Context(), "k", "v", 0).Err(); err != nil {
		t.Fatal(err)
	}
	s.Restart()
	eventually(t, "the value is there", func() error { return client.Get(t.Context(), "k").Err() })
	s.RestartEmpty()
	eventually(t, "the value is gone", func() error {
		n, err := client.DBSize(t.Context()).Result()
		if err == nil && n != 0 {
			return fmt.Errorf("%d keys", n)
		}
		return err
	})
}

func TestAClusterServesAllSlots(t *testing.T) {
	o, err := redis.ParseClusterURL(redistest.StartCluster(t).URL())
	if err != nil {
		t.Fatal(err)
	}
	client := redis.NewClusterClient(o)
	defer client.Close()
	for i := range 100 {
		if err := client.Set(t.Context(), fmt.Sprint(i), i, 0).Err(); err != nil {
			t.Fatalf("SET %d: %v", i, err)
		}
	}
}

func TestSentinelFailsOver(t *testing.T) {
	s := redistest.StartSentinel(t)
	o, err := redis.ParseFailoverURL(s.URL())
	if err != nil {
		t.Fatal(err)
	}
	client := redis.NewFailoverClient(o)
	defer client.Close()
	if err := client.Set(t.Context(), "k", "v", 0).Err(); err != nil {
		t.Fatal(err)
	}
	s.Failover()
	eventually(t, "the client follows", func() error { return client.Set(t.Context(), "k", "w", 0).Err() })
}
