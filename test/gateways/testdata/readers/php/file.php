<?php
// Tells as JSON which file PHP's own server has found for a request: of another than the report it knows nothing, since
// this one stands for all that are not there. See reader_test.go.

$script = $_SERVER['SCRIPT_NAME'];
header('Content-Type: application/json');
echo json_encode([
    'paths' => $script === '/report.php' ? ['SCRIPT_NAME' => $script] : new stdClass(),
    'params' => ['none' => ['siteId' => [], 'tenant_id' => []]],
    'hosts' => ['HTTP_HOST' => $_SERVER['HTTP_HOST'] ?? ''],
    'methods' => ['REQUEST_METHOD' => $_SERVER['REQUEST_METHOD']],
], JSON_INVALID_UTF8_SUBSTITUTE);
