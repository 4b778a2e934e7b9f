package cluster_test

import (
	"context"
	"fmt"
	"net/url"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/console/web"
	"github.com/keyward-dev/keyward/controllers/testenv"
	"github.com/keyward-dev/keyward/internal/groupevent"
	"github.com/keyward-dev/keyward/internal/role"
)

// writeLog writes a log of so many events, so many in a segment, as the manager does. Each seventh is about the key rare.
func writeLog(ctx context.Context, group *v1alpha1.Group, events, inSegment int) {
	GinkgoHelper()
	of, head := groupevent.Group{Namespace: group.Namespace, Name: group.Name, UID: string(group.UID)}, groupevent.Head{}
	uid, _, _ := strings.Cut(of.UID, "-")
	var segment *v1alpha1.GroupLog
	for i := range events {
		name := "web"
		if i%7 == 0 {
			name = "rare"
		}
		at := time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC).Add(time.Duration(i) * time.Hour)
		event, err := groupevent.New(of, groupevent.TypeKeyRotated, fmt.Sprint(i), at,
			groupevent.Subject{Kind: "ApiKey", Namespace: of.Namespace, Name: name, UID: name}, groupevent.Actor{User: "ada"}, groupevent.KeyRotated{Version: int64(i)})
		Expect(err).NotTo(HaveOccurred())
		event, err = groupevent.Append(head, event)
		Expect(err).NotTo(HaveOccurred())
		line, err := event.Encode()
		Expect(err).NotTo(HaveOccurred())
		if segment == nil {
			segment = &v1alpha1.GroupLog{ObjectMeta: metav1.ObjectMeta{
				Namespace: of.Namespace, Name: fmt.Sprintf("%s-%s-%010d", of.Name, uid, event.Sequence), Labels: map[string]string{v1alpha1.LabelGroupUID: of.UID},
			}}
			segment.Spec.Group, segment.Spec.GroupUID, segment.Spec.First = of.Name, group.UID, int64(event.Sequence)
		}
		segment.Spec.Events += string(line) + "\n"
		if head = event.Head(); (i+1)%inSegment == 0 || i == events-1 {
			Expect(testenv.Admin.Create(ctx, segment)).To(Succeed())
			segment = nil
		}
	}
}

var _ = Describe("The log of a Group", func() {
	It("is read in pages, newest first, with and without a filter", func(ctx SpecContext) {
		w := testenv.NewWorld(ctx)
		group := w.CreateGroup(ctx)
		viewer := join(ctx, w, role.Viewer)
		nothing, err := viewer.Log(ctx, acme(w), web.LogQuery{})
		Expect(err).NotTo(HaveOccurred())
		Expect(nothing.Entries).To(BeEmpty())
		writeLog(ctx, group, 130, 3) // more segments than are read for one page
		other := w.CreateGroup(ctx, func(g *v1alpha1.Group) { g.Name = "other" })
		writeLog(ctx, other, 5, 5)

		read := func(query web.LogQuery) (details []string, pages int) {
			GinkgoHelper()
			for {
				found, err := viewer.Log(ctx, acme(w), query)
				Expect(err).NotTo(HaveOccurred())
				Expect(len(found.Entries)).To(BeNumerically("<=", 50))
				for _, entry := range found.Entries {
					details = append(details, entry.Object.Text+" "+entry.Detail[strings.LastIndexByte(entry.Detail, '=')+1:])
				}
				if pages++; found.Next == "" {
					return details, pages
				}
				next, err := url.Parse(found.Next)
				Expect(err).NotTo(HaveOccurred())
				values := next.Query()
				query = web.LogQuery{Types: values["type"], Object: values.Get("object"), Actor: values.Get("actor"), From: values.Get("from"),
					Through: values.Get("through"), Before: values.Get("before")}
			}
		}
		var all, rare []string
		for i := 129; i >= 0; i-- {
			if i%7 == 0 {
				all, rare = append(all, fmt.Sprintf("rare %d", i)), append(rare, fmt.Sprintf("rare %d", i))
			} else {
				all = append(all, fmt.Sprintf("web %d", i))
			}
		}
		got, pages := read(web.LogQuery{})
		Expect(got).To(Equal(all))
		Expect(pages).To(Equal(3))
		got, _ = read(web.LogQuery{Object: "rare", Types: []string{"key"}})
		Expect(got).To(Equal(rare))
		got, _ = read(web.LogQuery{From: "2026-11-02", Through: "2026-11-02"})
		Expect(got).To(Equal(all[130-48 : 130-24]))
		got, _ = read(web.LogQuery{Actor: "nobody"})
		Expect(got).To(BeEmpty())
	})
})
