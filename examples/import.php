<?php
/*
 * An importer in one file: --importer=https://shop.example/import.php --import-secret=FILE
 *
 * The site: put this file where PHP runs it, and set the variables ONEC_SECRET (what is in FILE) and ONEC_QUEUE (a
 * folder outside of the site that PHP may write to). The request only queues, so that no time limit of the web server
 * matters. The worker, as the same user, by cron or a service: php import.php
 */
declare(strict_types=1);

$secret = (string) getenv('ONEC_SECRET');
$queue = (string) getenv('ONEC_QUEUE');
if ($secret === '' || !is_dir($queue)) {
    answer(503, 'ONEC_SECRET and ONEC_QUEUE are not set');
}
PHP_SAPI === 'cli' ? work($queue) : receive($queue, $secret);

/** Answer as a plain text, which the 1C user sees, and end. */
function answer(int $status, string $text = ''): never
{
    http_response_code($status);
    header('Content-Type: text/plain; charset=utf-8');
    exit($text);
}

/** Replace a file: its readers see the whole of the old one, or of the new one. */
function put(string $path, string $text): void
{
    file_put_contents("$path.new", $text);
    rename("$path.new", $path);
}

/** Queue what is described, once for each id; answer 202 until the worker is done with it. */
function receive(string $queue, string $secret): void
{
    $body = (string) file_get_contents('php://input');
    $asks = $_SERVER['REQUEST_METHOD'] === 'GET';   // how far is it?
    $signed = hash_hmac('sha256', $asks ? $_SERVER['REQUEST_URI'] : $body, $secret);
    if (!hash_equals("sha256=$signed", $_SERVER['HTTP_X_ONEC_SIGNATURE'] ?? '')) {
        answer(403, 'The signature is wrong');
    }
    $id = $asks ? ($_GET['id'] ?? '') : (json_decode($body, true)['id'] ?? '');
    if (!is_string($id) || !preg_match('/^[0-9a-f]{32}$/', $id)) {
        answer(400, 'There is no id');
    }
    $job = "$queue/$id";
    if (!$asks && !file_exists("$job.json") && !file_exists("$job.done")) {
        put("$job.json", $body);
    }
    if (file_exists("$job.done")) {
        $words = (string) file_get_contents("$job.done");
        answer($words === '' ? 200 : 422, $words);
    }
    header('Location: ' . strtok($_SERVER['REQUEST_URI'], '?') . "?id=$id");
    header('Retry-After: 1');
    answer(202, is_file("$job.said") ? (string) file_get_contents("$job.said") : 'Waits for the shop');
}

/** Import all that is queued, oldest first, and record how it ended: an empty text is success. */
function work(string $queue): void
{
    $lock = fopen("$queue/lock", 'c');
    if (!flock($lock, LOCK_EX | LOCK_NB)) {
        return;                                     // another worker is at it
    }
    $jobs = glob("$queue/*.json");
    usort($jobs, fn ($one, $other) => filemtime($one) <=> filemtime($other));
    foreach ($jobs as $job) {
        $path = substr($job, 0, -strlen('.json'));
        $words = '';
        try {
            $description = json_decode((string) file_get_contents($job), true, flags: JSON_THROW_ON_ERROR);
            if ($description['event'] === 'import' && $description['type'] === 'catalog') {
                import($queue, $description, fn (string $said) => put("$path.said", $said));
            }
        } catch (Throwable $error) {
            $words = $error->getMessage();
        }
        put("$path.done", $words);
        unlink($job);
        @unlink("$path.said");
    }
}

/** Read the goods of a document into goods.csv, one element at a time. Your own import goes here. */
function import(string $queue, array $description, callable $say): void
{
    $name = $description['filename'];
    $say("Reading $name");
    libxml_use_internal_errors(true);
    $xml = new XMLReader();
    $xml->open("{$description['folder']}/$name", null, LIBXML_NONET);
    $goods = [];
    while ($xml->read()) {
        if ($xml->nodeType === XMLReader::ELEMENT && $xml->localName === 'Товар') {
            $product = simplexml_load_string($xml->readOuterXml())->children($xml->namespaceURI);
            $goods[] = [(string) $product->{'Ид'}, (string) $product->{'Наименование'}];
        }
    }
    $broken = libxml_get_last_error();
    if ($broken !== false) {
        throw new RuntimeException("$name: " . trim($broken->message) . " in line $broken->line");
    }
    $csv = fopen("$queue/goods.csv", 'a');
    foreach ($goods as $product) {
        fputcsv($csv, $product, escape: '');
    }
    fclose($csv);
}
