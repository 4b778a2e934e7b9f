// Package v1alpha1 decides admission requests by what a schema cannot check: other objects,
// the requesting user, and formats beyond patterns. It reports to a user at
// once what the controllers would write into the status later; only the controllers are authoritative.
package v1alpha1

import (
	"fmt"

	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/internal/tier"
)

// +kubebuilder:webhookconfiguration:mutating=true,name=keyward-mutating
// +kubebuilder:webhookconfiguration:mutating=false,name=keyward-validating

// +kubebuilder:webhook:name=apikeys.mutating.keyward.dev,path=/mutate-keyward-dev-v1alpha1-apikey,mutating=true,failurePolicy=fail,sideEffects=None,groups=keyward.dev,resources=apikeys,verbs=create;update,versions=v1alpha1,admissionReviewVersions=v1,serviceName=keyward-webhook,serviceNamespace=keyward-system,servicePort=9443,timeoutSeconds=10
// +kubebuilder:webhook:name=groups.mutating.keyward.dev,path=/mutate-keyward-dev-v1alpha1-group,mutating=true,failurePolicy=fail,sideEffects=None,groups=keyward.dev,resources=groups,verbs=create;update,versions=v1alpha1,admissionReviewVersions=v1,serviceName=keyward-webhook,serviceNamespace=keyward-system,servicePort=9443,timeoutSeconds=10
// +kubebuilder:webhook:name=domainallowlists.mutating.keyward.dev,path=/mutate-keyward-dev-v1alpha1-domainallowlist,mutating=true,failurePolicy=fail,sideEffects=None,groups=keyward.dev,resources=domainallowlists,verbs=create;update,versions=v1alpha1,admissionReviewVersions=v1,serviceName=keyward-webhook,serviceNamespace=keyward-system,servicePort=9443,timeoutSeconds=10
// +kubebuilder:webhook:name=apikeys.validating.keyward.dev,path=/validate-keyward-dev-v1alpha1-apikey,mutating=false,failurePolicy=fail,sideEffects=None,groups=keyward.dev,resources=apikeys,verbs=create;update,versions=v1alpha1,admissionReviewVersions=v1,serviceName=keyward-webhook,serviceNamespace=keyward-system,servicePort=9443,timeoutSeconds=10
// +kubebuilder:webhook:name=groups.validating.keyward.dev,path=/validate-keyward-dev-v1alpha1-group,mutating=false,failurePolicy=fail,sideEffects=None,groups=keyward.dev,resources=groups,verbs=create;update,versions=v1alpha1,admissionReviewVersions=v1,serviceName=keyward-webhook,serviceNamespace=keyward-system,servicePort=9443,timeoutSeconds=10
// A deletion would undo what the platform has set, so it requires a manager, too, except that of a namespace or by an owner.
// +kubebuilder:webhook:name=groups.deleting.keyward.dev,path=/validate-keyward-dev-v1alpha1-group,mutating=false,failurePolicy=fail,sideEffects=None,groups=keyward.dev,resources=groups,verbs=delete,versions=v1alpha1,admissionReviewVersions=v1,serviceName=keyward-webhook,serviceNamespace=keyward-system,servicePort=9443,timeoutSeconds=10,patch=`{"matchConditions":[{"name":"by-a-user","expression":"!(request.userInfo.username in ['system:serviceaccount:kube-system:namespace-controller', 'system:serviceaccount:kube-system:generic-garbage-collector', 'system:kube-controller-manager'])"}]}`
// +kubebuilder:webhook:name=domainallowlists.validating.keyward.dev,path=/validate-keyward-dev-v1alpha1-domainallowlist,mutating=false,failurePolicy=fail,sideEffects=None,groups=keyward.dev,resources=domainallowlists,verbs=create;update,versions=v1alpha1,admissionReviewVersions=v1,serviceName=keyward-webhook,serviceNamespace=keyward-system,servicePort=9443,timeoutSeconds=10

// Who asks for a key, and who decides, is stamped; a decision requires the verb approve.
// +kubebuilder:webhook:name=keyrequests.mutating.keyward.dev,path=/mutate-keyward-dev-v1alpha1-keyrequest,mutating=true,failurePolicy=fail,sideEffects=None,groups=keyward.dev,resources=keyrequests,verbs=create;update,versions=v1alpha1,admissionReviewVersions=v1,serviceName=keyward-webhook,serviceNamespace=keyward-system,servicePort=9443,timeoutSeconds=10
// +kubebuilder:webhook:name=keyrequestreviews.mutating.keyward.dev,path=/mutate-keyward-dev-v1alpha1-keyrequestreview,mutating=true,failurePolicy=fail,sideEffects=None,groups=keyward.dev,resources=keyrequestreviews,verbs=create;update,versions=v1alpha1,admissionReviewVersions=v1,serviceName=keyward-webhook,serviceNamespace=keyward-system,servicePort=9443,timeoutSeconds=10
// +kubebuilder:webhook:name=keyrequests.validating.keyward.dev,path=/validate-keyward-dev-v1alpha1-keyrequest,mutating=false,failurePolicy=fail,sideEffects=None,groups=keyward.dev,resources=keyrequests,verbs=create,versions=v1alpha1,admissionReviewVersions=v1,serviceName=keyward-webhook,serviceNamespace=keyward-system,servicePort=9443,timeoutSeconds=10
// +kubebuilder:webhook:name=keyrequestreviews.validating.keyward.dev,path=/validate-keyward-dev-v1alpha1-keyrequestreview,mutating=false,failurePolicy=fail,sideEffects=None,groups=keyward.dev,resources=keyrequestreviews,verbs=create;update,versions=v1alpha1,admissionReviewVersions=v1,serviceName=keyward-webhook,serviceNamespace=keyward-system,servicePort=9443,timeoutSeconds=10

// What a quota is counted in is the platform's, too. The manager writes its status, which is another resource.
// +kubebuilder:webhook:name=groupusages.validating.keyward.dev,path=/validate-keyward-dev-v1alpha1-groupusage,mutating=false,failurePolicy=fail,sideEffects=None,groups=keyward.dev,resources=groupusages,verbs=update;delete,versions=v1alpha1,admissionReviewVersions=v1,serviceName=keyward-webhook,serviceNamespace=keyward-system,servicePort=9443,timeoutSeconds=10,patch=`{"matchConditions":[{"name":"by-a-user","expression":"!(request.userInfo.username in ['system:serviceaccount:kube-system:namespace-controller', 'system:serviceaccount:kube-system:generic-garbage-collector', 'system:kube-controller-manager'])"}]}`

// A manager is asked about the deletion of a key or an allowlist only where that is guarded.
// +kubebuilder:webhook:name=apikeys.deleting.keyward.dev,path=/validate-keyward-dev-v1alpha1-apikey,mutating=false,failurePolicy=fail,sideEffects=None,groups=keyward.dev,resources=apikeys,verbs=delete,versions=v1alpha1,admissionReviewVersions=v1,serviceName=keyward-webhook,serviceNamespace=keyward-system,servicePort=9443,timeoutSeconds=10,patch=`{"matchConditions":[{"name":"by-a-user","expression":"!(request.userInfo.username in ['system:serviceaccount:kube-system:namespace-controller', 'system:serviceaccount:kube-system:generic-garbage-collector', 'system:kube-controller-manager'])"},{"name":"guarded","expression":"has(oldObject.metadata.annotations) && 'keyward.dev/prevent-deletion' in oldObject.metadata.annotations"}]}`
// +kubebuilder:webhook:name=domainallowlists.deleting.keyward.dev,path=/validate-keyward-dev-v1alpha1-domainallowlist,mutating=false,failurePolicy=fail,sideEffects=None,groups=keyward.dev,resources=domainallowlists,verbs=delete,versions=v1alpha1,admissionReviewVersions=v1,serviceName=keyward-webhook,serviceNamespace=keyward-system,servicePort=9443,timeoutSeconds=10,patch=`{"matchConditions":[{"name":"by-a-user","expression":"!(request.userInfo.username in ['system:serviceaccount:kube-system:namespace-controller', 'system:serviceaccount:kube-system:generic-garbage-collector', 'system:kube-controller-manager'])"},{"name":"guarded","expression":"has(oldObject.metadata.annotations) && 'keyward.dev/prevent-deletion' in oldObject.metadata.annotations"}]}`

// Who deletes something is stamped on it for the log of the Group. That prevents no deletion: it is not waited for, and without a manager
// the log says that it is not known.
// +kubebuilder:webhook:name=deletions.stamping.keyward.dev,path=/stamp-deletion,mutating=false,failurePolicy=ignore,sideEffects=NoneOnDryRun,groups=keyward.dev,resources=apikeys;groups;domainallowlists,verbs=delete,versions=v1alpha1,admissionReviewVersions=v1,serviceName=keyward-webhook,serviceNamespace=keyward-system,servicePort=9443,timeoutSeconds=3,patch=`{"matchConditions":[{"name":"by-a-user","expression":"!(request.userInfo.username in ['system:serviceaccount:kube-system:namespace-controller', 'system:serviceaccount:kube-system:generic-garbage-collector', 'system:kube-controller-manager'])"}]}`

// +kubebuilder:rbac:groups=keyward.dev,resources=apikeys;groups;domainallowlists,verbs=patch
// +kubebuilder:rbac:groups=authorization.k8s.io,resources=subjectaccessreviews,verbs=create

// Setup registers the webhooks with the manager. Groups may name the tiers of the catalogue.
func Setup(mgr ctrl.Manager, tiers *tier.Catalogue) error {
	keys := &apiKeys{reader: mgr.GetClient(), clock: clock.RealClock{}, tiers: tiers, access: &access{client: mgr.GetClient()}}
	me := &self{client: mgr.GetClient()}
	server := mgr.GetWebhookServer()
	server.Register("/mutate-keyward-dev-v1alpha1-apikey", &admission.Webhook{Handler: stamp{apiKey: true, kind: "ApiKey", clock: keys.clock, self: me}})
	server.Register("/mutate-keyward-dev-v1alpha1-group", &admission.Webhook{Handler: stamp{kind: "Group", clock: keys.clock, self: me}})
	server.Register("/mutate-keyward-dev-v1alpha1-domainallowlist", &admission.Webhook{Handler: stamp{kind: "DomainAllowlist", clock: keys.clock, self: me}})
	server.Register("/mutate-keyward-dev-v1alpha1-keyrequest", &admission.Webhook{Handler: requestStamp{}})
	server.Register("/mutate-keyward-dev-v1alpha1-keyrequestreview", &admission.Webhook{Handler: reviewStamp{clock: keys.clock}})
	server.Register("/stamp-deletion", &admission.Webhook{Handler: &deletions{client: mgr.GetClient(), clock: keys.clock}})
	if err := ctrl.NewWebhookManagedBy(mgr, &v1alpha1.ApiKey{}).WithValidator(decided(keys)).Complete(); err != nil {
		return fmt.Errorf("setting up the webhook of ApiKey: %w", err)
	}
	groups := &groups{reader: mgr.GetClient(), clock: keys.clock, tiers: tiers, access: keys.access}
	if err := ctrl.NewWebhookManagedBy(mgr, &v1alpha1.Group{}).WithValidator(decided(groups)).Complete(); err != nil {
		return fmt.Errorf("setting up the webhook of Group: %w", err)
	}
	if err := setupRequests(mgr, groups, me); err != nil {
		return err
	}
	usages := &groupUsages{reader: mgr.GetClient(), groups: groups}
	if err := ctrl.NewWebhookManagedBy(mgr, &v1alpha1.GroupUsage{}).WithValidator(decided(usages)).Complete(); err != nil {
		return fmt.Errorf("setting up the webhook of GroupUsage: %w", err)
	}
	if err := ctrl.NewWebhookManagedBy(mgr,
		&v1alpha1.DomainAllowlist{}).WithValidator(decided(&domainAllowlists{reader: mgr.GetClient()})).Complete(); err != nil {
		return fmt.Errorf("setting up the webhook of DomainAllowlist: %w", err)
	}
	return nil
}

func setupRequests(mgr ctrl.Manager, groups *groups, me *self) error {
	requests := &keyRequests{reader: mgr.GetClient(), clock: groups.clock}
	if err := ctrl.NewWebhookManagedBy(mgr, &v1alpha1.KeyRequest{}).WithValidator(decided(requests)).Complete(); err != nil {
		return fmt.Errorf("setting up the webhook of KeyRequest: %w", err)
	}
	reviews := &keyRequestReviews{self: me, groups: groups}
	if err := ctrl.NewWebhookManagedBy(mgr, &v1alpha1.KeyRequestReview{}).WithValidator(decided(reviews)).Complete(); err != nil {
		return fmt.Errorf("setting up the webhook of KeyRequestReview: %w", err)
	}
	return nil
}
