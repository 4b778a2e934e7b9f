package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/client-go/kubernetes"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	"github.com/keyward-dev/keyward/controllers"
)

// Users whose requests are in the audit log.
const (
	managerUser   = "system:serviceaccount:" + systemNamespace + ":keyward-manager"
	validatorUser = "system:serviceaccount:" + systemNamespace + ":keyward-validator"
)

// auditPolicy logs each request once it was answered. A watch that goes on is logged when it begins.
const auditPolicy = `apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
  - {level: Metadata, users: [` + managerUser + `, ` + validatorUser + `]}
  - {level: None}
`

// startAuditedControlPlane starts an API server that writes an audit log. It has no controllers, which nothing here needs.
func (c *cluster) startAuditedControlPlane() (err error) {
	policy := c.path("policy.yaml")
	if err := os.WriteFile(policy, []byte(auditPolicy), 0o600); err != nil {
		return err
	}
	environment := &envtest.Environment{BinaryAssetsDirectory: bin("envtest"), DownloadBinaryAssets: false}
	environment.ControlPlane.GetAPIServer().Configure().
		Set("audit-policy-file", policy).Set("audit-log-path", c.auditLog()).Set("audit-log-maxsize", "1000")
	if c.config, err = environment.Start(); err != nil {
		return fmt.Errorf("start Kubernetes: %w", err)
	}
	c.later(func() { _ = environment.Stop() })
	if err := os.WriteFile(c.path("kubeconfig"), environment.KubeConfig, 0o600); err != nil {
		return err
	}
	c.config.QPS = -1
	if c.core, err = kubernetes.NewForConfig(c.config); err != nil {
		return err
	}
	c.admin, err = client.NewWithWatch(c.config, client.Options{Scheme: controllers.Scheme()})
	return err
}

func (c *cluster) auditLog() string { return c.path("audit.log") }

// audited is a request in the audit log.
type audited struct {
	Verb string `json:"verb"`
	User struct {
		Username string `json:"username"`
	} `json:"user"`
	ObjectRef *struct {
		APIGroup, Resource, Subresource, Namespace, Name string
	} `json:"objectRef"`
	RequestURI     string `json:"requestURI"`
	ResponseStatus struct {
		Code   int    `json:"code"`
		Reason string `json:"reason"`
	} `json:"responseStatus"`
}

func (a audited) resource() string {
	if a.ObjectRef.Subresource != "" {
		return a.ObjectRef.Resource + "/" + a.ObjectRef.Subresource
	}
	return a.ObjectRef.Resource
}

// requests reads the audit log, as far as it is written.
func (c *cluster) requests() (all []audited, err error) {
	text, err := os.ReadFile(c.auditLog())
	if err != nil {
		return nil, err
	}
	for line := range bytes.Lines(text) {
		var request audited
		if !bytes.HasSuffix(line, []byte("\n")) {
			break
		}
		if err := json.Unmarshal(line, &request); err != nil {
			return nil, fmt.Errorf("%w: %s", err, line)
		}
		all = append(all, request)
	}
	return all, nil
}

// grant is one verb on one kind of object, which a role allows.
type grant struct {
	role                        string // the kind and the name
	group, resource, name, verb string // the name is "" for all objects
}

func (g grant) String() string {
	object := strings.TrimSuffix(g.resource+"."+g.group, ".")
	if g.name != "" {
		object += "/" + g.name
	}
	return fmt.Sprintf("%s: %s %s", g.role, g.verb, object)
}

// grants are all grants to the manager, each with the namespaces in which it is valid, or nil for the whole cluster.
type grants map[grant][]string

// allows reports whether the grant allows the request.
func (g grants) allows(one grant, request audited) bool {
	namespaces := g[one]
	return (namespaces == nil || slices.Contains(namespaces, request.ObjectRef.Namespace)) &&
		one.group == request.ObjectRef.APIGroup && one.resource == request.resource() && one.verb == request.Verb &&
		(one.name == "" || one.name == request.ObjectRef.Name)
}

// unused returns the grants that no request has used. A request in a namespace uses what is granted there if there is such a grant,
// and nothing that is granted for the whole cluster.
func (g grants) unused(requests []audited) (unused []string) {
	used := map[grant]bool{}
	for _, request := range requests {
		if request.ObjectRef == nil || request.User.Username != managerUser {
			continue
		}
		var local, global []grant
		for one, namespaces := range g {
			switch {
			case !g.allows(one, request):
			case namespaces != nil:
				local = append(local, one)
			default:
				global = append(global, one)
			}
		}
		if len(local) == 0 {
			local = global
		}
		for _, one := range local {
			used[one] = true
		}
	}
	for one := range g {
		if _, excepted := exceptions[one.String()]; !used[one] && !excepted {
			unused = append(unused, one.String())
		}
	}
	slices.Sort(unused)
	return unused
}

// grants reads what is bound to the manager's ServiceAccount.
func (c *cluster) grants(ctx context.Context) (grants, error) {
	all := grants{}
	isManager := func(subjects []rbacv1.Subject) bool {
		return slices.ContainsFunc(subjects, func(s rbacv1.Subject) bool {
			return s.Kind == "ServiceAccount" && s.Namespace == systemNamespace && s.Name == "keyward-manager"
		})
	}
	var wide rbacv1.ClusterRoleBindingList
	var narrow rbacv1.RoleBindingList
	if err := errors.Join(c.admin.List(ctx, &wide), c.admin.List(ctx, &narrow)); err != nil {
		return nil, err
	}
	for _, binding := range wide.Items {
		if isManager(binding.Subjects) {
			if err := c.addGrants(ctx, all, binding.RoleRef, ""); err != nil {
				return nil, err
			}
		}
	}
	for _, binding := range narrow.Items {
		if isManager(binding.Subjects) {
			if err := c.addGrants(ctx, all, binding.RoleRef, binding.Namespace); err != nil {
				return nil, err
			}
		}
	}
	return all, nil
}

// addGrants adds the rules of a role.
func (c *cluster) addGrants(ctx context.Context, all grants, ref rbacv1.RoleRef, namespace string) error {
	var rules []rbacv1.PolicyRule
	if ref.Kind == "Role" {
		role := &rbacv1.Role{}
		if err := c.admin.Get(ctx, client.ObjectKey{Namespace: namespace, Name: ref.Name}, role); err != nil {
			return err
		}
		rules = role.Rules
	} else {
		role := &rbacv1.ClusterRole{}
		if err := c.admin.Get(ctx, client.ObjectKey{Name: ref.Name}, role); err != nil {
			return err
		}
		rules = role.Rules
	}
	for _, rule := range rules {
		names := rule.ResourceNames
		if len(names) == 0 {
			names = []string{""}
		}
		for _, group := range rule.APIGroups {
			for _, resource := range rule.Resources {
				for _, verb := range rule.Verbs {
					for _, name := range names {
						one := grant{ref.Kind + " " + ref.Name, group, resource, name, verb}
						if namespace == "" {
							all[one] = nil
						} else {
							all[one] = append(all[one], namespace)
						}
					}
				}
			}
		}
	}
	return nil
}
