package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// GroupVersion is the API group and version of this package.
var GroupVersion = schema.GroupVersion{Group: "keyward.dev", Version: "v1alpha1"}

var (
	schemeBuilder = runtime.NewSchemeBuilder(addKnownTypes)
	// AddToScheme registers the types of this package.
	AddToScheme = schemeBuilder.AddToScheme
)

func addKnownTypes(scheme *runtime.Scheme) error {
	scheme.AddKnownTypes(GroupVersion,
		&Group{}, &GroupList{},
		&ApiKey{}, &ApiKeyList{},
		&DomainAllowlist{}, &DomainAllowlistList{},
		&GroupUsage{}, &GroupUsageList{},
		&GroupLog{}, &GroupLogList{},
		&BillingOutbox{}, &BillingOutboxList{},
		&KeyUsage{}, &KeyUsageList{},
		&KeyRequest{}, &KeyRequestList{},
		&KeyRequestReview{}, &KeyRequestReviewList{},
		&Installation{}, &InstallationList{},
	)
	metav1.AddToGroupVersion(scheme, GroupVersion)
	return nil
}
