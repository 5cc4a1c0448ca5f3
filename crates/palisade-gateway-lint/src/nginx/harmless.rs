//! Directives that hand no request to a service by themselves: they are harmless, or other rules look at them. What is in
//! none of these lists is reported, wherever it stands.

use std::collections::HashSet;

use crate::directive::Directive;
use crate::nginx::{is_program, pass};
use crate::report::{At, Report};
use crate::{PROGRAM_HELP, is_listed};

/// What is said for each way to a service, behind `proxy_`, `fastcgi_` and their like.
const WAYS: &str = "allow_upstream bind bind_dynamic buffer_size buffering buffers busy_buffers_size cache cache_background_update \
    cache_bypass cache_convert_head cache_key cache_lock cache_lock_age cache_lock_timeout cache_max_range_offset \
    cache_methods cache_min_uses cache_path cache_purge cache_revalidate cache_use_stale cache_valid catch_stderr \
    connect_timeout cookie_domain cookie_flags cookie_path force_ranges headers_hash_bucket_size headers_hash_max_size \
    hide_header http_version ignore_client_abort ignore_headers index intercept_errors keep_conn limit_rate \
    max_temp_file_size method modifier1 modifier2 next_upstream next_upstream_timeout next_upstream_tries no_cache \
    param pass_header pass_request_body pass_request_headers pass_trailers read_timeout redirect request_buffering \
    request_dynamic send_lowat send_timeout set_body set_header socket_keepalive socket_rcvbuf socket_sndbuf \
    split_path_info ssl_certificate ssl_certificate_cache ssl_certificate_key ssl_ciphers ssl_conf_command ssl_crl \
    ssl_key_log ssl_name ssl_password_file ssl_protocols ssl_server_name ssl_session_reuse ssl_trusted_certificate \
    ssl_verify ssl_verify_depth store store_access string temp_file_write_size temp_path";

/// The ways.
const KINDS: &[&str] = &["proxy_", "fastcgi_", "uwsgi_", "scgi_", "grpc_"];

/// Everything else: of nginx itself, and of modules that many install.
const NAMES: &str = "absolute_redirect accept_mutex accept_mutex_delay acceptex_read access_by_lua_no_postpone access_log \
    acme_certificate acme_issuer acme_shared_zone add_header add_header_inherit add_trailer add_trailer_inherit \
    addition_types aio aio_write alias allow ancient_browser ancient_browser_value auth_basic auth_basic_user_file \
    auth_delay auth_http auth_http_header auth_http_timeout auth_jwt auth_jwt_claim_set auth_jwt_header_set \
    auth_jwt_key_cache auth_jwt_key_file auth_jwt_key_request auth_jwt_leeway auth_jwt_require auth_jwt_type \
    auth_request auth_request_set autoindex autoindex_exact_size autoindex_format autoindex_localtime \
    body_filter_by_lua body_filter_by_lua_block body_filter_by_lua_file break brotli brotli_buffers brotli_comp_level \
    brotli_min_length brotli_static brotli_types brotli_window charset charset_map charset_types \
    chunked_transfer_encoding client_body_buffer_size client_body_early_read client_body_in_file_only \
    client_body_in_single_buffer client_body_temp_path client_body_timeout client_header_buffer_size \
    client_header_timeout client_max_body_size connection_pool_size create_full_put_path daemon dav_access \
    debug_connection debug_points default_type degradation degrade deny devpoll_changes devpoll_events directio \
    directio_alignment disable_symlinks early_hints echo empty_gif env epoll_events errmsg error_log error_page etag \
    eventport_events events exit_worker_by_lua_block exit_worker_by_lua_file expires f4f f4f_buffer_size fancyindex \
    fancyindex_css_href fancyindex_default_sort fancyindex_directories_first fancyindex_exact_size fancyindex_footer \
    fancyindex_header fancyindex_hide_parent_dir fancyindex_ignore fancyindex_localtime fancyindex_name_length \
    fancyindex_show_dotfiles fancyindex_show_path fancyindex_time_format flv geo geoip2 geoip2_proxy \
    geoip2_proxy_recursive geoip_city geoip_country geoip_org geoip_proxy geoip_proxy_recursive \
    google_perftools_profiles gunzip gunzip_buffers gzip gzip_buffers gzip_comp_level gzip_disable gzip_hash \
    gzip_http_version gzip_min_length gzip_no_buffer gzip_proxied gzip_static gzip_types gzip_vary gzip_window hash \
    header_filter_by_lua header_filter_by_lua_block header_filter_by_lua_file health_check health_check_timeout hls \
    hls_buffers hls_forward_args hls_fragment hls_mp4_buffer_size hls_mp4_max_buffer_size http http2 \
    http2_body_preread_size http2_chunk_size http2_idle_timeout http2_max_concurrent_pushes \
    http2_max_concurrent_streams http2_max_field_size http2_max_header_size http2_max_requests http2_pool_size \
    http2_push http2_push_preload http2_recv_buffer_size http2_recv_timeout http2_streams_index_size http3 http3_hq \
    http3_max_concurrent_streams http3_stream_buffer_size if if_modified_since ignore_invalid_headers image_filter \
    image_filter_buffer image_filter_interlace image_filter_jpeg_quality image_filter_sharpen \
    image_filter_transparency image_filter_webp_quality include index init_by_lua init_by_lua_block init_by_lua_file \
    init_worker_by_lua init_worker_by_lua_block init_worker_by_lua_file internal iocp_threads ip_hash js_body_filter \
    js_context_reuse js_context_reuse_max_size js_engine js_fetch_buffer_size js_fetch_ciphers js_fetch_keepalive \
    js_fetch_keepalive_requests js_fetch_keepalive_time js_fetch_keepalive_timeout js_fetch_max_response_buffer_size \
    js_fetch_protocols js_fetch_proxy js_fetch_timeout js_fetch_trusted_certificate js_fetch_verify \
    js_fetch_verify_depth js_header_filter js_import js_include js_path js_periodic js_preload_object \
    js_shared_dict_zone js_var keepalive keepalive_disable keepalive_min_timeout keepalive_requests keepalive_time \
    keepalive_timeout keyval keyval_zone kqueue_changes kqueue_events large_client_header_buffers least_conn \
    least_time limit_conn limit_conn_dry_run limit_conn_log_level limit_conn_status limit_conn_zone limit_except \
    limit_rate limit_rate_after limit_req limit_req_dry_run limit_req_log_level limit_req_status limit_req_zone \
    lingering_close lingering_time lingering_timeout listen load_module location lock_file log_by_lua log_by_lua_block \
    log_by_lua_file log_format log_not_found log_subrequest lua_capture_error_log lua_check_client_abort \
    lua_code_cache lua_http10_buffering lua_load_resty_core lua_malloc_trim lua_max_pending_timers \
    lua_max_running_timers lua_need_request_body lua_package_cpath lua_package_path lua_regex_cache_max_entries \
    lua_regex_match_limit lua_sa_restart lua_shared_dict lua_socket_buffer_size lua_socket_connect_timeout \
    lua_socket_keepalive_timeout lua_socket_log_errors lua_socket_pool_size lua_socket_read_timeout \
    lua_socket_send_timeout lua_ssl_trusted_certificate lua_ssl_verify_depth lua_thread_cache_max_entries \
    lua_transform_underscores_in_response_headers lua_use_default_type lua_worker_thread_vm_pool_size mail map \
    map_hash_bucket_size map_hash_max_size master_process match max_headers max_ranges memcached_bind \
    memcached_buffer_size memcached_connect_timeout memcached_gzip_flag memcached_next_upstream \
    memcached_next_upstream_timeout memcached_next_upstream_tries memcached_read_timeout memcached_send_timeout \
    memcached_socket_keepalive merge_slashes mgmt min_delete_depth mirror mirror_request_body modern_browser \
    modern_browser_value modsecurity modsecurity_rules modsecurity_rules_file modsecurity_rules_remote \
    modsecurity_transaction_id more_clear_headers more_set_headers mp4 mp4_buffer_size mp4_max_buffer_size \
    mp4_start_key_frame msie_padding msie_refresh multi_accept ocsp_stapling open_file_cache open_file_cache_errors \
    open_file_cache_events open_file_cache_min_uses open_file_cache_valid open_log_file_cache otel_exporter \
    otel_resource_attr otel_service_name otel_span_attr otel_span_name otel_trace otel_trace_context output_buffers \
    override_charset passenger_app_env passenger_app_group_name passenger_app_root passenger_app_type \
    passenger_default_group passenger_default_user passenger_document_root passenger_friendly_error_pages \
    passenger_group passenger_instance_registry_dir passenger_load_shell_envvars passenger_log_file \
    passenger_log_level passenger_max_pool_size passenger_max_preloader_idle_time passenger_max_request_queue_size \
    passenger_min_instances passenger_nodejs passenger_pool_idle_time passenger_pre_start passenger_python \
    passenger_root passenger_ruby passenger_show_version_in_header passenger_spawn_method passenger_start_timeout \
    passenger_startup_file passenger_sticky_sessions passenger_user pcre_jit perl_modules perl_require pid \
    port_in_redirect post_acceptex postpone_gzipping postpone_output proxy_protocol_timeout \
    quic_active_connection_id_limit quic_bpf quic_gso quic_host_key quic_retry random random_index read_ahead \
    real_ip_header real_ip_recursive recursive_error_pages referer_hash_bucket_size referer_hash_max_size \
    request_pool_size reset_timedout_connection resolver resolver_timeout return rewrite rewrite_by_lua_no_postpone \
    rewrite_log root satisfy secure_link secure_link_md5 secure_link_secret send_lowat send_timeout sendfile \
    sendfile_max_chunk server server_name server_name_in_redirect server_names_hash_bucket_size \
    server_names_hash_max_size server_tokens session_log session_log_format session_log_zone set set_real_ip_from \
    slice source_charset split_clients ssi_ignore_recycled_buffers ssi_last_modified ssi_min_file_chunk \
    ssi_silent_errors ssi_types ssi_value_length ssl_buffer_size ssl_certificate ssl_certificate_by_lua_block \
    ssl_certificate_by_lua_file ssl_certificate_cache ssl_certificate_compression ssl_certificate_key ssl_ciphers \
    ssl_client_certificate ssl_client_hello_by_lua_block ssl_client_hello_by_lua_file ssl_conf_command ssl_crl \
    ssl_dhparam ssl_early_data ssl_ecdh_curve ssl_ech_file ssl_engine ssl_key_log ssl_object_cache_inheritable \
    ssl_ocsp ssl_ocsp_cache ssl_ocsp_responder ssl_password_file ssl_prefer_server_ciphers ssl_protocols \
    ssl_reject_handshake ssl_session_cache ssl_session_fetch_by_lua_block ssl_session_fetch_by_lua_file \
    ssl_session_store_by_lua_block ssl_session_store_by_lua_file ssl_session_ticket_key ssl_session_tickets \
    ssl_session_timeout ssl_stapling ssl_stapling_file ssl_stapling_responder ssl_stapling_verify \
    ssl_trusted_certificate ssl_verify_client ssl_verify_depth status status_format status_zone sticky stream \
    stub_status sub_filter sub_filter_last_modified sub_filter_once sub_filter_types subrequest_output_buffer_size \
    subs_filter subs_filter_bypass subs_filter_types tcp_nodelay tcp_nopush thread_pool timefmt timer_resolution \
    try_files types types_hash_bucket_size types_hash_max_size underscores_in_headers uninitialized_variable_warn \
    upstream use user userid userid_domain userid_expires userid_flags userid_mark userid_name userid_p3p userid_path \
    userid_service valid_referers variables_hash_bucket_size variables_hash_max_size vhost_traffic_status \
    vhost_traffic_status_display vhost_traffic_status_display_format vhost_traffic_status_display_jsonp \
    vhost_traffic_status_dump vhost_traffic_status_filter vhost_traffic_status_filter_by_host \
    vhost_traffic_status_filter_by_set_key vhost_traffic_status_filter_check_duplicate \
    vhost_traffic_status_histogram_buckets vhost_traffic_status_zone worker_aio_requests worker_connections \
    worker_cpu_affinity worker_priority worker_processes worker_rlimit_core worker_rlimit_nofile \
    worker_shutdown_timeout working_directory xml_entities xml_external_entities xslt_last_modified xslt_param \
    xslt_string_param xslt_stylesheet xslt_types zone zstd zstd_buffers zstd_comp_level zstd_dict_file zstd_min_length \
    zstd_static zstd_types zstd_window";

/// Blocks whose lines are no directives, or choose among servers that are written there.
const TABLES: &[&str] = &[
    "charset_map",
    "events",
    "geo",
    "geoip2",
    "mail",
    "map",
    "match",
    "mgmt",
    "otel_exporter",
    "split_clients",
    "stream",
    "types",
    "upstream",
];

fn is_known(names: &HashSet<&str>, directive: &Directive, inside: bool) -> bool {
    let name = directive.name();
    let way = KINDS.iter().find_map(|kind| name.strip_prefix(kind));
    // what passes requests on is looked at in servers, where it stands
    let passes = pass::is_known(directive) || (inside && pass::is_pass(name));
    names.contains(name) || way.is_some_and(|rest| is_listed(WAYS, rest)) || passes || is_program(name)
}

/// Reports each directive that is not known, once.
pub(super) fn lint(tree: &[Directive], report: &mut Report<'_>) {
    let mut walk = Walk { names: NAMES.split_ascii_whitespace().collect(), told: HashSet::new(), found: Vec::new() };
    walk.body(tree, false);
    for (name, at) in walk.found {
        report.not_checked(at, &format!("what `{name}` does with requests is not known here"), PROGRAM_HELP);
    }
}

struct Walk<'t> {
    names: HashSet<&'static str>,
    told: HashSet<&'t str>,
    found: Vec<(&'t str, At)>,
}

// === impl Walk ===

impl<'t> Walk<'t> {
    fn body(&mut self, body: &'t [Directive], inside: bool) {
        for directive in body {
            let name = directive.name();
            if !is_known(&self.names, directive, inside) {
                if self.told.insert(name) {
                    self.found.push((name, directive.at));
                }
            } else if !TABLES.contains(&name) {
                self.body(directive.body(), inside || matches!(name, "server" | "location"));
            }
        }
    }
}
