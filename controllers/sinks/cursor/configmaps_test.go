package cursor_test

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/keyward-dev/keyward/controllers/sinks"
	"github.com/keyward-dev/keyward/controllers/sinks/cursor"
	"github.com/keyward-dev/keyward/controllers/testenv"
)

func all(string, string) bool { return true }

// moved returns positions of sinks in n logs.
func moved(n int, position uint64, names ...string) map[string]sinks.Positions {
	positions := map[string]sinks.Positions{}
	for _, sink := range names {
		positions[sink] = sinks.Positions{}
		for i := range n {
			positions[sink][fmt.Sprintf("6f1d4b5e-0000-4000-8000-%012d", i)] = position
		}
	}
	return positions
}

var _ = Describe("The positions of sinks", func() {
	var (
		namespace string
		writes    int
	)
	newStore := func() *cursor.ConfigMaps {
		counting := interceptor.NewClient(testenv.NewClient(), testenv.CountWrites(func() { writes++ }))
		return &cursor.ConfigMaps{Reader: testenv.Admin, Client: counting, Namespace: namespace, Log: GinkgoLogr}
	}
	// saveAll saves until nothing is left, and returns how many calls that took.
	saveAll := func(ctx context.Context, store *cursor.ConfigMaps, positions map[string]sinks.Positions, exists func(sink, log string) bool) (calls int) {
		GinkgoHelper()
		for len(positions) > 0 {
			before := writes
			var err error
			positions, err = store.Save(ctx, positions, exists)
			Expect(err).NotTo(HaveOccurred())
			Expect(writes-before).To(BeNumerically("<=", 2), "a call is a write, and one more if that one is too late")
			calls++
		}
		return calls
	}
	load := func(ctx context.Context) map[string]sinks.Positions {
		GinkgoHelper()
		positions, err := newStore().Load(ctx)
		Expect(err).NotTo(HaveOccurred())
		return positions
	}

	BeforeEach(func(ctx SpecContext) {
		created := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "sinks-"}}
		Expect(testenv.Admin.Create(ctx, created)).To(Succeed())
		namespace, writes = created.Name, 0
	})

	It("are there after a restart, in one write for each ConfigMap", func(ctx SpecContext) {
		Expect(load(ctx)).To(BeEmpty())
		store := newStore()
		Expect(saveAll(ctx, store, moved(100, 7, "siem", "billing"), all)).To(Equal(cursor.Shards))
		Expect(writes).To(Equal(cursor.Shards))
		Expect(load(ctx)).To(Equal(moved(100, 7, "siem", "billing")))
		Expect(saveAll(ctx, store, moved(1, 8, "siem"), all)).To(Equal(1))
		Expect(load(ctx)["siem"]).To(HaveKeyWithValue(ContainSubstring("-000000000000"), uint64(8)))
	})

	It("are not written if they are the same", func(ctx SpecContext) {
		store := newStore()
		saveAll(ctx, store, moved(20, 7, "siem"), all)
		before := writes
		saveAll(ctx, store, moved(20, 7, "siem"), all)
		Expect(writes).To(Equal(before))
	})

	It("only grow, whoever writes", func(ctx SpecContext) {
		old, next := newStore(), newStore()
		saveAll(ctx, old, moved(20, 5, "siem"), all)
		saveAll(ctx, next, moved(20, 9, "siem"), all)
		saveAll(ctx, old, moved(20, 7, "siem"), all) // a leader that does not know yet that it is none
		saveAll(ctx, next, moved(3, 10, "other"), all)
		want := moved(20, 9, "siem")
		maps.Copy(want, moved(3, 10, "other"))
		Expect(load(ctx)).To(Equal(want))
	})

	It("are forgotten with their sink and their log", func(ctx SpecContext) {
		store := newStore()
		saveAll(ctx, store, moved(20, 5, "siem", "removed"), all)
		saveAll(ctx, newStore(), moved(20, 6, "siem"), func(sink, log string) bool { return sink == "siem" && log[len(log)-1] != '3' })
		positions := load(ctx)
		Expect(positions).To(HaveLen(1))
		Expect(positions["siem"]).To(HaveLen(18)) // without 3 and 13
	})

	It("come back if somebody deletes a ConfigMap, and are sent again if somebody breaks one", func(ctx SpecContext) {
		store := newStore()
		saveAll(ctx, store, moved(20, 5, "siem"), all)
		for shard := range cursor.Shards {
			object := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: cursor.Name(shard)}}
			Expect(testenv.Admin.Delete(ctx, object)).To(Succeed())
		}
		saveAll(ctx, store, moved(20, 6, "siem"), all)
		Expect(load(ctx)).To(Equal(moved(20, 6, "siem")))
		for shard := range cursor.Shards {
			object := &corev1.ConfigMap{}
			Expect(testenv.Admin.Get(ctx, types.NamespacedName{Namespace: namespace, Name: cursor.Name(shard)}, object)).To(Succeed())
			object.Data = map[string]string{"siem": `{"a": "b"}`, "other": "null"}
			Expect(testenv.Admin.Update(ctx, object)).To(Succeed())
		}
		Expect(load(ctx)).To(BeEmpty())
		saveAll(ctx, store, moved(20, 7, "siem"), all)
		Expect(load(ctx)).To(Equal(moved(20, 7, "siem")))
	})

	It("fit for 10,000 Groups and three sinks, with room to spare", func(ctx SpecContext) {
		saveAll(ctx, newStore(), moved(10_000, 123_456, "siem", "billing", "archive"), all)
		var largest int
		for shard := range cursor.Shards {
			object := &corev1.ConfigMap{}
			Expect(testenv.Admin.Get(ctx, types.NamespacedName{Namespace: namespace, Name: cursor.Name(shard)}, object)).To(Succeed())
			text, err := json.Marshal(object.Data)
			Expect(err).NotTo(HaveOccurred())
			largest = max(largest, len(text))
		}
		Expect(largest).To(BeNumerically("<", 300<<10))
	})

	It("are kept for the next write if one fails", func(ctx SpecContext) {
		broken := interceptor.NewClient(testenv.NewClient(), interceptor.Funcs{
			Create: func(context.Context, client.WithWatch, client.Object, ...client.CreateOption) error {
				return context.DeadlineExceeded
			},
		})
		store := &cursor.ConfigMaps{Reader: testenv.Admin, Client: broken, Namespace: namespace, Log: GinkgoLogr}
		left, err := store.Save(ctx, moved(5, 3, "siem"), all)
		Expect(err).To(MatchError(ContainSubstring("writing the ConfigMap keyward-sinks-")))
		Expect(left).To(Equal(moved(5, 3, "siem")))
	})
})
